#include "cpu/child_process.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace polygraft {
namespace {

constexpr unsigned kSeconds = 10;

// What the child leaves for its parent, in memory that both see.
struct Answer {
  bool complete;
  char text[500];
};

// Leaves no core file, and runs none of the parent's handlers.
[[noreturn]] void run_child(Answer& answer, const std::function<std::string()>& check) {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  for (const int signal : {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGTRAP, SIGABRT, SIGALRM}) std::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  alarm(kSeconds);
  const std::string text = check();
  std::memcpy(answer.text, text.data(), std::min(text.size(), sizeof(answer.text) - 1));
  answer.complete = true;
  _exit(0);
}

std::string system_error(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

// Waits for the child's end: how it ended, if not by itself.
std::string end_of(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return system_error("its end was not reported");
  }
  if (WIFSIGNALED(status)) return std::string("it was ended by a signal: ") + strsignal(WTERMSIG(status));
  return "it ended early, with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

std::string failure_in_child(const std::function<std::string()>& check) {
  void* const memory = mmap(nullptr, sizeof(Answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return system_error("it could not be started");
  auto& answer = *static_cast<Answer*>(memory);  // zero
  std::string failure;
  if (const pid_t child = fork(); child == 0) {
    run_child(answer, check);
  } else if (child < 0) {
    failure = system_error("it could not be started");
  } else {
    failure = end_of(child);
    if (answer.complete) failure = answer.text;
  }
  munmap(memory, sizeof(Answer));
  return failure;
}

}  // namespace polygraft
