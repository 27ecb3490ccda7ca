#pragma once

/// `troupe model export-gguf`: the weights of a checkpoint for llama.cpp, so
/// that two engines can be compared on identical numbers.

#include "runtime/convert/gguf_writer.hpp"
#include "runtime/model/weights.hpp"

namespace troupe {

struct exported_model {
  uint64_t num_tensors = 0;
  uint64_t bytes = 0; ///< Of tensors.
};

/// Writes `out`, replacing it, a few MiB at a time. Matrices become BF16, to
/// nearest even (exact where FP8 has scales that are powers of two), and with
/// Q8_0 are quantised from that. The file is there, or replaced, when it is
/// whole: a failure leaves what there was. A file that belongs to the source is
/// refused. `weights`: bf16 or q8_0. Errors: invalid_input, io.
result<exported_model>
export_gguf(const checkpoint& source, const std::filesystem::path& out,
            ggml_type weights, const load_progress& progress = {});

} // namespace troupe
