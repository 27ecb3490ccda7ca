/// What tests/bench/transport_peers measures of MPI: dispatch and combine as
/// two MPI_Alltoallv per round, one round after the other and with several out
/// at once (MPI_Ialltoallv). Prints seconds of a round, of each way.
///
///   mpirun -n N alltoallv DISPATCH_BYTES COMBINE_BYTES WINDOW ROUNDS

#include <mpi.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

/// One all-to-all of equal parts, and where they lie.
struct exchange {
  std::vector<int> counts, places;
  std::vector<char> out, in;

  exchange(int num_processes, int self, int bytes)
    : counts(size_t(num_processes), bytes), places(size_t(num_processes)),
      out(size_t(num_processes) * size_t(bytes)), in(out.size()) {
    for (int i = 0; i < num_processes; ++i)
      places[size_t(i)] = i * bytes;
    counts[size_t(self)] = 0; // nobody sends rows to itself
  }

  void run() {
    MPI_Alltoallv(out.data(), counts.data(), places.data(), MPI_BYTE, in.data(),
                  counts.data(), places.data(), MPI_BYTE, MPI_COMM_WORLD);
  }

  MPI_Request begin() {
    MPI_Request request;
    MPI_Ialltoallv(out.data(), counts.data(), places.data(), MPI_BYTE,
                   in.data(), counts.data(), places.data(), MPI_BYTE,
                   MPI_COMM_WORLD, &request);
    return request;
  }
};

struct slot {
  exchange dispatch, combine;
  MPI_Request request = MPI_REQUEST_NULL;
};

} // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  if (argc != 5)
    MPI_Abort(MPI_COMM_WORLD, 2);
  int dispatch_bytes = std::atoi(argv[1]), combine_bytes = std::atoi(argv[2]);
  int window = std::atoi(argv[3]), rounds = std::atoi(argv[4]);
  int num_processes = 0, self = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &num_processes);
  MPI_Comm_rank(MPI_COMM_WORLD, &self);
  std::vector<slot> slots;
  for (int i = 0; i < window; ++i)
    slots.push_back({{num_processes, self, dispatch_bytes},
                     {num_processes, self, combine_bytes}});
  auto one_by_one = [&](int n) {
    for (int i = 0; i < n; ++i) {
      slots[0].dispatch.run();
      slots[0].combine.run();
    }
  };
  // All processes begin and await in the same order, as MPI asks.
  auto in_window = [&](int n) {
    for (int i = 0; i < n + window; ++i) {
      auto& x = slots[size_t(i % window)];
      if (i >= window) {
        MPI_Wait(&x.request, MPI_STATUS_IGNORE);
        x.request = x.combine.begin();
        MPI_Wait(&x.request, MPI_STATUS_IGNORE);
      }
      if (i < n)
        x.request = x.dispatch.begin();
    }
  };
  auto time = [&](auto&& f) {
    f(window); // warms up
    MPI_Barrier(MPI_COMM_WORLD);
    auto begin = MPI_Wtime();
    f(rounds);
    MPI_Barrier(MPI_COMM_WORLD);
    return (MPI_Wtime() - begin) / rounds;
  };
  auto blocking = time(one_by_one), overlapped = time(in_window);
  if (self == 0)
    std::printf("%.9f %.9f\n", blocking, overlapped);
  MPI_Finalize();
}
