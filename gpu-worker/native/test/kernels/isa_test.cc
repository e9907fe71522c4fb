// Which levels are used: what the CPU says, and what the self-check finds of kernels that never ran here.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>

#include "cpu/amx.h"
#include "cpu/child_process.h"
#include "cpu/self_check.h"
#include "test/check.h"
#include "test/kernels/fixture.h"

using namespace polygraft;
using namespace polygraft::fixture;

namespace {

KernelLevels scalar_only() { return {.kernels = {&kKernelsScalar}, .warning = {}}; }

// Scalar linears, but the last element of each is off by its lowest bit where `wrong_for` says so.
bool (*wrong_for)(const LinearTile&);
void wrong_linear(const LinearTile& args) {
  kKernelsScalar.linear_tile(args);
  if (!wrong_for(args)) return;
  float& y = args.y[(args.first_row + args.rows - 1) * args.y_stride + args.columns - 1];
  uint32_t bits;
  std::memcpy(&bits, &y, 4);
  bits ^= 1;
  std::memcpy(&y, &bits, 4);
}
void illegal_linear(const LinearTile&) { raise(SIGILL); }

const Kernels& on_emulated_tiles() { return *all_kernels().front(); }

}  // namespace

TEST(correct_kernels_come_first) {
  KernelLevels levels = scalar_only();
  add_if_correct(levels, on_emulated_tiles());
  CHECK_EQ(levels.warning, "");
  REQUIRE(levels.kernels.size() == 2);
  CHECK(levels.kernels[0] == &on_emulated_tiles());
  CHECK(&choose_kernels(levels, "") == &on_emulated_tiles());
  CHECK(&choose_kernels(levels, "scalar") == &kKernelsScalar);
}

TEST(one_wrong_bit_of_any_scheme_costs_the_level_and_says_so) {
  struct Case {
    bool (*wrong_for)(const LinearTile&);
    const char* part;
  };
  const Case cases[] = {
      {[](const LinearTile&) { return true; }, "W4 in groups of 32, 16 rows: not the bits that scalar kernels return"},
      {[](const LinearTile& t) { return t.operands[0].matrix->scheme == Scheme::kNf4 && t.operands[0].matrix->group == 128; },
       "NF4 in groups of 128"},
      {[](const LinearTile& t) { return t.operands[0].matrix->scheme == Scheme::kW8 && t.rows == kMaxTileRows; }, "64 rows"},
      {[](const LinearTile& t) { return t.epilogue == TileEpilogue::kSwiGlu && t.operands[0].matrix->group == 64; },
       "W4 in groups of 64"},
      {[](const LinearTile& t) { return t.columns < kLanes; }, "W4 in groups of 32"},
  };
  const Kernels wrong = with_amx(kKernelsScalar, {.linear_tile = wrong_linear}, "injected");
  for (const Case& c : cases) {
    wrong_for = c.wrong_for;
    KernelLevels levels = scalar_only();
    add_if_correct(levels, wrong);
    CHECK_EQ(levels.kernels.size(), 1u);
    CHECK(levels.warning.find("injected kernels are not used on this CPU, scalar ones are: their self-check failed: ") == 0);
    if (levels.warning.find(c.part) == std::string::npos)
      check::fail(__FILE__, __LINE__, "\"" + levels.warning + "\" lacks \"" + c.part + "\"");
    // Who asks for the level is told as well.
    CHECK_THROWS(PG_INVALID_ARGUMENT, "isa", "their self-check failed", choose_kernels(levels, "injected"));
  }
}

TEST(an_illegal_instruction_ends_the_check_and_not_the_process) {
  const Kernels illegal = with_amx(kKernelsScalar, {.linear_tile = illegal_linear}, "injected");
  KernelLevels levels = scalar_only();
  add_if_correct(levels, illegal);
  CHECK_EQ(levels.kernels.size(), 1u);
  CHECK(levels.warning.find("ended") != std::string::npos);
}

TEST(a_child_reports_what_it_found) {
  CHECK_EQ(failure_in_child([] { return std::string(); }), "");
  CHECK_EQ(failure_in_child([] { return std::string("off by one"); }), "off by one");
  CHECK_EQ(failure_in_child([] { return std::string(10'000, 'x'); }), std::string(499, 'x'));
  CHECK_EQ(failure_in_child([]() -> std::string { _exit(3); }), "it ended early, with status 3");
  CHECK_EQ(failure_in_child([]() -> std::string { kill(getpid(), SIGKILL); return {}; }), "it was ended by a signal: Killed");
  CHECK_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // no child is left
}

TEST(a_backend_hands_the_warning_on) {
  const CpuBackend backend(kKernelsScalar, {.isa = {}, .threads = 1}, "told");
  CHECK_EQ(backend.warning(), "told");
  CHECK_EQ(CpuBackend(kKernelsScalar, {.isa = {}, .threads = 1}).warning(), "");
}

// The system's own list of what the CPU has and it saves.
TEST(amx_is_taken_where_the_system_lists_it) {
  std::ifstream file("/proc/cpuinfo");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  if (text.find(" amx_int8") == std::string::npos || text.find(" amx_tile") == std::string::npos) CHECK(!take_amx());
  const auto& kernels = kernel_levels().kernels;
  const bool used = std::string(kernels.front()->isa) == "avx512amx";
  if (take_amx()) {
    CHECK(used);  // a CPU that has it computes what it should
    CHECK_EQ(kernel_levels().warning, "");
  } else {
    CHECK(!used);
    CHECK_EQ(kernel_levels().warning, "");
  }
}
