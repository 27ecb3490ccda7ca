#include "runtime/model/scratch.hpp"

namespace troupe {

using kernels::dtype;

namespace {

/// The beginning of claimed memory as a matrix of another width.
kernels::tensor shaped(const kernels::tensor& t, uint32_t rows, uint32_t cols) {
  return kernels::dense(t.mem, t.type, rows, cols);
}

} // namespace

scratch::~scratch() {
  for (auto& mem : memory_)
    dev_->free(mem);
}

kernels::tensor scratch::claim(dtype type, uint32_t rows, uint32_t cols) {
  auto bytes = uint64_t{rows} * cols * size_of(type);
  num_bytes_ += bytes;
  if (bytes == 0 || !dev_)
    return {};
  auto mem = dev_->allocate(bytes);
  if (!mem) {
    missing_bytes_ += bytes;
    return {};
  }
  memory_.push_back(*mem);
  return kernels::dense(*mem, type, rows, cols);
}

kernels::activation scratch::claim_operand(dtype type, uint32_t rows,
                                           uint32_t cols) {
  kernels::activation out;
  out.values = claim(type, rows, cols);
  if (type == dtype::f8_e4m3)
    out.scales = claim(dtype::f32, rows, kernels::num_scale_blocks(cols));
  return out;
}

kernels::host_ptr scratch::claim_host(uint64_t bytes) {
  num_bytes_ += bytes;
  if (!dev_)
    return nullptr;
  auto out = dev_->allocate_host(bytes);
  if (!out)
    missing_bytes_ += bytes;
  return out;
}

result<void> scratch::check() const {
  if (missing_bytes_ == 0)
    return {};
  return failure{errc::out_of_memory, "no memory for "
                                        + std::to_string(missing_bytes_)
                                        + " bytes of intermediate values on "
                                        + std::string{dev_->target()}};
}

operand_set::operand_set(scratch& mem, const model_config& config,
                         precision activations, uint32_t max_rows,
                         uint32_t max_cols)
  : exact_(mem.claim(dtype::f32, max_rows, max_cols)) {
  if (activations != precision::fp32)
    bf16_ = mem.claim_operand(dtype::bf16, max_rows, max_cols);
  if (activations == precision::fp8 && config.fp8)
    f8_ = mem.claim_operand(dtype::f8_e4m3, max_rows, max_cols);
}

void operand_set::reset(uint32_t rows, uint32_t cols) {
  CHECK(uint64_t{rows} * cols * 4 <= exact_.mem.bytes);
  rows_ = rows;
  cols_ = cols;
  has_ = {};
}

kernels::tensor operand_set::exact() const {
  return shaped(exact_, rows_, cols_);
}

kernels::activation operand_set::room(dtype type) const {
  switch (type) {
    case dtype::bf16:
      return {shaped(bf16_.values, rows_, cols_), {}};
    case dtype::f8_e4m3:
      return {shaped(f8_.values, rows_, cols_),
              shaped(f8_.scales, rows_, kernels::num_scale_blocks(cols_))};
    default:
      return {exact(), {}};
  }
}

void operand_set::mark(dtype type) {
  has_[static_cast<size_t>(type)] = true;
}

kernels::activation operand_set::as(dtype type, kernels::stream& stream) {
  auto out = room(type);
  if (type == dtype::f32 || has_[static_cast<size_t>(type)])
    return out;
  stream.enqueue(kernels::quantize{exact(), out});
  mark(type);
  return out;
}

} // namespace troupe
