// Runs what might end the process, such as instructions that never ran on this machine, in a child process.
#pragma once

#include <functional>
#include <string>

namespace polygraft {

// What `check` returns about a failure, at most 499 bytes, or empty if it found none; if the child was ended by a signal or
// took longer than ten seconds, or could not be started, that. POSIX only. `check` must start no thread.
std::string failure_in_child(const std::function<std::string()>& check);

}  // namespace polygraft
