#include "model/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "model/error.h"

namespace polygraft {

std::string base_name(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

bool file_exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

// O_NONBLOCK so that opening a named pipe returns; it changes nothing for the regular files that are kept.
InputFile::InputFile(const std::string& path)
    : name_(base_name(path)), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (fd_ < 0) {
    const int error = errno;
    throw Error(error == ENOENT || error == ENOTDIR ? PG_NOT_FOUND : PG_FAILED_PRECONDITION, name_,
                "cannot open " + path + ": " + std::strerror(error));
  }
  struct stat info {};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    throw Error(PG_FAILED_PRECONDITION, name_, path + " is not a regular file");
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : name_(std::move(other.name_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

void InputFile::read(uint64_t offset, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size()) {
    // Some systems refuse single reads of 2 GiB and more.
    const size_t chunk = std::min(out.size() - done, size_t{1} << 30);
    const ssize_t got = ::pread(fd_, out.data() + done, chunk, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(PG_DATA_LOSS, name_, "cannot read " + name_ + ": " + std::strerror(errno));
    if (got == 0)
      throw Error(PG_DATA_LOSS, name_,
                  name_ + " is truncated: " + std::to_string(out.size()) + " bytes wanted at offset " +
                      std::to_string(offset) + ", " + std::to_string(done) + " found");
    done += static_cast<size_t>(got);
  }
}

std::string read_text_file(const std::string& path, uint64_t limit) {
  const InputFile file(path);
  if (file.size() > limit)
    throw Error(PG_DATA_LOSS, file.name(),
                file.name() + " has " + std::to_string(file.size()) + " bytes; the limit is " + std::to_string(limit));
  std::string text(file.size(), '\0');
  file.read(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  return text;
}

}  // namespace polygraft
