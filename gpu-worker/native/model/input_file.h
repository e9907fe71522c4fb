// A regular file, open for reading at any offset, from any thread.
//
// Reads go through pread and not through mmap: a file that shrinks while it is mapped raises SIGBUS, which would end a
// serving process because somebody rewrote an adapter. Here the same accident is an Error.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace polygraft {

class InputFile {
 public:
  // Throws Error(PG_NOT_FOUND, name) if there is no such file, PG_FAILED_PRECONDITION if it cannot be read or is not a
  // regular file. The name in errors is the path's last part.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }  // when it was opened

  // Fills `out` from `offset`. Throws Error(PG_DATA_LOSS, name) if the file ends before that.
  void read(uint64_t offset, std::span<uint8_t> out) const;

 private:
  std::string name_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// A whole small text. Throws as InputFile does, and Error(PG_DATA_LOSS, name) if it is longer than `limit` bytes.
std::string read_text_file(const std::string& path, uint64_t limit);

// True if there is something at `path`, whatever it is.
bool file_exists(const std::string& path);

// A path's last part.
std::string base_name(const std::string& path);

}  // namespace polygraft
