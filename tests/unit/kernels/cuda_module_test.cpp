#include "kernels/host/cuda_module.hpp"

#include <gtest/gtest.h>

using namespace troupe::kernels;

namespace {

#ifdef TROUPE_CUDA_MODULE
constexpr bool is_built = true;
#else
constexpr bool is_built = false;
#endif

TEST(CudaModule, IsLookedForBesideTheProgramAndWhereItIsInstalled) {
  auto places = cuda_module_places("/opt/troupe/bin/troupe");
  ASSERT_FALSE(places.empty());
  EXPECT_EQ(places[0], "/opt/troupe/bin/libtroupe_cuda.so");
  EXPECT_EQ(places[1].lexically_normal(),
            "/opt/troupe/lib/troupe/libtroupe_cuda.so");
}

TEST(CudaModule, IsThereWhereItWasBuilt) {
  EXPECT_EQ(has_cuda_module(), is_built);
}

// It opens on any machine: what is missing without a GPU is the GPU alone.
TEST(CudaModule, SaysInOneSentenceWhyThereIsNoGpu) {
  std::string why, why_not_made;
  auto gpus = describe_gpus(why);
  auto dev = make_cuda_device({}, why_not_made);
  EXPECT_EQ(dev != nullptr, !gpus.empty());
  EXPECT_EQ(why.empty(), !gpus.empty());
  EXPECT_EQ(why_not_made, why);
  if (is_built && gpus.empty()) {
    auto is_known = why == "no driver of CUDA, or too old a one"
                    || why == "this machine has no GPU"
                    || why.find("(cudaError") != why.npos;
    EXPECT_TRUE(is_known) << why;
  } else if (!is_built) {
    EXPECT_EQ(why, "this build has no libtroupe_cuda.so");
  }
}

} // namespace
