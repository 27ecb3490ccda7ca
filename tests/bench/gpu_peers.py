#!/usr/bin/env python3
"""What a GPU gives at best, by PyTorch (cuBLASLt below it): a copy's bytes per
second, read and written together, and dense products in BF16 and FP8.

    gpu_peers.py            prints a table and, last, the three rates as
                            `gpu_bench` takes them
"""

import statistics
import sys

import torch


def seconds(work, repeats=20):
    for _ in range(3):
        work()
    times = []
    for _ in range(5):
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(repeats):
            work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / repeats)
    return statistics.median(times)


def copy_rate():
    x = torch.randn(1 << 30, device="cuda")
    y = torch.empty_like(x)
    return 2 * x.numel() * 4 / seconds(lambda: y.copy_(x), 5)


def bf16_rate(m, n, k):
    a = torch.randn(m, k, device="cuda").bfloat16()
    b = torch.randn(n, k, device="cuda").bfloat16()
    return 2 * m * n * k / seconds(lambda: a @ b.T)


def fp8_rate(m, n, k):
    a = torch.randn(m, k, device="cuda").to(torch.float8_e4m3fn)
    b = torch.randn(n, k, device="cuda").to(torch.float8_e4m3fn)
    one = torch.ones((), device="cuda")
    return 2 * m * n * k / seconds(
        lambda: torch._scaled_mm(a, b.T, scale_a=one, scale_b=one,
                                 out_dtype=torch.bfloat16))


def main():
    print(torch.cuda.get_device_name(), "torch", torch.__version__,
          file=sys.stderr)
    read = copy_rate()
    bf16, fp8 = 0.0, 0.0
    for shape in ((8192, 8192, 8192), (16, 7168, 16384), (128, 7168, 16384),
                  (512, 7168, 16384), (4096, 7168, 16384),
                  (128, 4096, 7168), (4096, 24576, 1536)):
        one, other = bf16_rate(*shape), fp8_rate(*shape)
        print(f"{shape}: bf16 {one / 1e12:.0f} fp8 {other / 1e12:.0f} TFLOP/s",
              file=sys.stderr)
        bf16, fp8 = max(bf16, one), max(fp8, other)
    print(f"{read / 1e9:.0f} {bf16 / 1e12:.0f} {fp8 / 1e12:.0f}")


if __name__ == "__main__":
    main()
