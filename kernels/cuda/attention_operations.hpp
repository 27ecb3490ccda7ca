#pragma once

/// Which kernels attention is, in both forms.

#include "kernels/cuda/plain_attention_kernels.hpp"
#include "kernels/cuda/product_operations.hpp"

namespace troupe::kernels::cuda {

/// Keys of one part of absorbed attention: its ends stand at multiples.
constexpr uint32_t part_keys = 512;

/// Memory that an operation takes for a while at most, where it can choose.
constexpr uint64_t usual_scratch = 256ull << 20;

/// Gives back what was taken of a queue's memory meanwhile.
template <class Queue>
class scratch_scope {
public:
  explicit scratch_scope(Queue& q) : queue_(q), count_(q.num_scratch()) {
  }

  scratch_scope(const scratch_scope&) = delete;

  ~scratch_scope() {
    queue_.give_back(count_);
  }

private:
  Queue& queue_;
  const size_t count_;
};

/// The tables of all sequences, one after the other.
struct joined_tables {
  std::vector<uint32_t> blocks;
  std::vector<uint32_t> first; ///< By sequence.

  explicit joined_tables(const std::vector<sequence_rows>& sequences) {
    for (auto& s : sequences) {
      first.push_back(uint32_t(blocks.size()));
      if (s.num_rows == 0)
        continue;
      auto count = (s.first_position + s.num_rows - 1) / key_step + 1;
      blocks.insert(blocks.end(), s.blocks->begin(), s.blocks->begin() + count);
    }
  }
};

/// One job for each row of a sequence.
inline void add_row_jobs(const sequence_rows& s, uint32_t blocks_at,
                         std::vector<attention_job>& out) {
  for (uint32_t i = 0; i < s.num_rows; ++i) {
    attention_job job;
    job.row = s.first_row + i;
    job.position = s.first_position + i;
    job.end_key = job.position + 1;
    job.blocks_at = blocks_at;
    out.push_back(job);
  }
}

inline bool is_whole(const cache_rows& c) {
  auto width = uint64_t{c.latent + c.rope} * size_of(c.type);
  return is_aligned(c.address | c.block_stride, width, 16) && c.latent % 8 == 0;
}

/// What both kernels of the absorbed form read.
template <class Kernel>
Kernel absorbed(const mla_attention& op) {
  Kernel k;
  k.q_first = rows_of<const float>(op.q_latent);
  k.q_rope = rows_of<const float>(op.q);
  k.q_first_stride = op.cache.latent;
  k.q_rope_stride = op.q_stride;
  k.q_rope_skip = op.q_rope_skip;
  k.first_width = k.value_width = op.cache.latent;
  k.scale = op.scale;
  k.cache = cache_rows::of(op.cache);
  return k;
}

template <class Queue>
void attend_in_parts(Queue& q, const mla_attention& op,
                     const std::vector<attention_job>& all,
                     const list<uint32_t>& blocks) {
  using kernel = attention_kernel<true, 1, 16>;
  auto latent = op.cache.latent;
  auto part_bytes = uint64_t{op.heads} * latent * 4;
  auto most = std::max<uint64_t>(usual_scratch / part_bytes, 1);
  for (size_t i = 0; i < all.size();) {
    scratch_scope scope{q};
    std::vector<attention_job> jobs;
    std::vector<parts_of_row> places;
    auto first_row = all[i].row;
    for (; i < all.size(); ++i) {
      auto count = parts_of(all[i].end_key, part_keys);
      if (!jobs.empty() && jobs.size() + count > most)
        break;
      places.push_back({uint32_t(jobs.size()), count});
      for (uint32_t p = 0; p < count; ++p) {
        auto job = all[i];
        job.first_key = p * part_keys;
        job.end_key = std::min(job.end_key, job.first_key + part_keys);
        job.part = uint32_t(jobs.size());
        jobs.push_back(job);
      }
    }
    auto num_rows = uint32_t(jobs.size() * op.heads);
    attention_parts parts;
    parts.values
      = {reinterpret_cast<float*>(q.scratch(num_rows * 4ull * latent)),
         latent * 4ull, num_rows, latent};
    parts.peaks = {reinterpret_cast<float*>(q.scratch(num_rows * 8ull)), 8,
                   num_rows, 2};
    auto k = absorbed<kernel>(op);
    k.heads = op.heads;
    k.blocks = blocks;
    k.in_pieces = is_whole(k.cache);
    k.jobs = q.bring(jobs);
    k.parts = parts;
    q.launch(k,
             {uint32_t(jobs.size()), parts_of(op.heads, kernel::num_queries)},
             kernel::shared_bytes_of(latent + op.cache.rope, latent));
    join_kernel join{
      parts, q.bring(places), op.heads,
      rows_of<float>(op.out.slice_rows(first_row, uint32_t(places.size())))};
    q.launch(join, {uint32_t(places.size()), op.heads});
  }
}

template <class Queue>
void run(Queue& q, const mla_attention& op) {
  joined_tables tables{op.sequences};
  std::vector<attention_job> jobs;
  for (size_t i = 0; i < op.sequences.size(); ++i)
    add_row_jobs(op.sequences[i], tables.first[i], jobs);
  if (jobs.empty())
    return;
  auto blocks = q.bring(tables.blocks);
  auto latent = op.cache.latent;
  if (op.cache.type == dtype::bf16) {
    if (latent > 512)
      return q.fail("latents of more than 512 values do not fit");
    return attend_in_parts(q, op, jobs, blocks);
  }
  auto k = absorbed<plain_attention_kernel>(op);
  k.blocks = blocks;
  k.jobs = q.bring(jobs);
  k.out = rows_of<float>(op.out);
  q.launch(k, {uint32_t(jobs.size()), op.heads},
           k.shared_bytes_of(latent + op.cache.rope, latent));
}

// -- the multi-head form ------------------------------------------------------

/// Some heads of one sequence, and the keys and values made for them.
struct own_keys {
  const sequence_rows* rows = nullptr;
  uint32_t blocks_at = 0;
  uint32_t num_keys = 0;
  uint32_t first_head = 0;
  uint32_t num_heads = 0;
  tensor keys;   ///< [num_heads * num_keys, nope] f32
  tensor values; ///< [num_heads * num_keys, v] f32
};

template <class Queue>
tensor scratch_rows(Queue& q, dtype type, uint64_t num_rows, uint32_t cols) {
  auto stride = (uint64_t{cols} * size_of(type) + 15) / 16 * 16;
  auto bytes = num_rows * stride;
  return {{0, q.scratch(bytes), bytes}, type, uint32_t(num_rows), cols, stride};
}

/// out[h * keys + j] = latents[j] W^T of each head; `w` below each other.
template <class Queue>
void multiply_latents(Queue& q, const tensor& latents, uint64_t w,
                      uint64_t matrix_bytes, uint32_t num_heads,
                      const tensor& out) {
  product_plan plan;
  plan.x.values = latents;
  plan.w_type = latents.type;
  plan.num_outputs = out.cols;
  plan.num_inputs = latents.cols;
  plan.choose_tiles(latents.rows, 1);
  plan.outs.wide[0] = rows_of<float>(out);
  for (uint32_t h = 0; h < num_heads; ++h) {
    product_job job;
    job.w = w + h * matrix_bytes;
    job.count = latents.rows;
    job.out_first = h * latents.rows;
    plan.add(job);
  }
  multiply(q, plan);
}

template <class T, class Queue>
tensor collect(Queue& q, const latent_cache& cache, const own_keys& own,
               const list<uint32_t>& blocks) {
  auto out = scratch_rows(q, cache.type, own.num_keys, cache.latent);
  collect_kernel<T> k{cache_rows::of(cache), blocks, own.blocks_at,
                      rows_of<T>(out)};
  q.launch(k, {own.num_keys});
  return out;
}

/// W_k of all heads as [heads * nope, latent].
template <class T, class Queue>
tensor transposed(Queue& q, const weight& w) {
  packed_weight layout{w};
  auto out = scratch_rows(q, w.type, uint64_t{w.groups} * w.cols, w.rows);
  transpose_kernel<T> k;
  k.in = {reinterpret_cast<const T*>(w.data.offset), layout.row_bytes,
          w.groups * w.rows, w.cols};
  k.out = rows_of<T>(out);
  k.height = w.rows;
  q.launch(k, {parts_of(w.cols, 32), parts_of(w.rows, 32), w.groups});
  return out;
}

template <class Kernel>
Kernel multi_head(const mha_attention& op, const own_keys& own,
                  const list<uint32_t>& blocks) {
  Kernel k;
  k.q_first = k.q_rope = rows_of<const float>(op.q);
  k.q_first_stride = k.q_rope_stride = op.q_stride;
  k.q_rope_skip = op.k_b.cols;
  k.first_width = op.k_b.cols;
  k.value_width = op.v_b.rows;
  k.first_head = own.first_head;
  k.scale = op.scale;
  k.cache = cache_rows::of(op.cache);
  k.blocks = blocks;
  k.keys = rows_of<const float>(own.keys);
  k.values = rows_of<const float>(own.values);
  k.num_keys = own.num_keys;
  k.out = rows_of<float>(op.out);
  return k;
}

template <class Kernel, class Queue>
void attend_in_tiles(Queue& q, const mha_attention& op, const own_keys& own,
                     const list<uint32_t>& blocks) {
  auto k = multi_head<Kernel>(op, own, blocks);
  k.heads = op.heads;
  k.in_pieces = is_whole(k.cache) && k.first_width % 8 == 0
                && op.cache.rope % 8 == 0;
  std::vector<attention_job> jobs;
  auto& s = *own.rows;
  for (uint32_t i = 0; i < s.num_rows; i += Kernel::num_queries) {
    attention_job job;
    job.row = s.first_row + i;
    job.count = std::min(Kernel::num_queries, s.num_rows - i);
    job.position = s.first_position + i;
    job.end_key = job.position + job.count;
    job.blocks_at = own.blocks_at;
    jobs.push_back(job);
  }
  k.jobs = q.bring(jobs);
  q.launch(
    k, {uint32_t(jobs.size()), own.num_heads},
    Kernel::shared_bytes_of(k.first_width + op.cache.rope, k.value_width));
}

template <class T, class Queue>
void attend_heads(Queue& q, const mha_attention& op, own_keys own,
                  const list<uint32_t>& blocks, const tensor& latents,
                  const tensor& k_b) {
  scratch_scope scope{q};
  auto num_rows = uint64_t{own.num_heads} * own.num_keys;
  own.keys = scratch_rows(q, dtype::f32, num_rows, op.k_b.cols);
  own.values = scratch_rows(q, dtype::f32, num_rows, op.v_b.rows);
  auto first = uint64_t{own.first_head};
  multiply_latents(q, latents,
                   k_b.mem.offset + first * op.k_b.cols * k_b.stride,
                   op.k_b.cols * k_b.stride, own.num_heads, own.keys);
  packed_weight layout{op.v_b};
  multiply_latents(q, latents, op.v_b.data.offset + first * layout.matrix_bytes,
                   layout.matrix_bytes, own.num_heads, own.values);
  if constexpr (sizeof(T) == 4) {
    auto k = multi_head<plain_attention_kernel>(op, own, blocks);
    std::vector<attention_job> jobs;
    add_row_jobs(*own.rows, own.blocks_at, jobs);
    k.jobs = q.bring(jobs);
    q.launch(k, {uint32_t(jobs.size()), own.num_heads},
             k.shared_bytes_of(k.first_width + op.cache.rope, k.value_width));
  } else if (op.v_b.rows <= 128) {
    attend_in_tiles<attention_kernel<false, 4, 4>>(q, op, own, blocks);
  } else {
    attend_in_tiles<attention_kernel<false, 1, 16>>(q, op, own, blocks);
  }
}

template <class T, class Queue>
void attend_multi_head(Queue& q, const mha_attention& op) {
  joined_tables tables{op.sequences};
  auto blocks = q.bring(tables.blocks);
  auto k_b = transposed<T>(q, op.k_b);
  auto bytes = uint64_t{op.k_b.cols + op.v_b.rows + 8} * sizeof(float);
  for (size_t i = 0; i < op.sequences.size(); ++i) {
    own_keys own;
    own.rows = &op.sequences[i];
    if (own.rows->num_rows == 0)
      continue;
    scratch_scope scope{q};
    own.blocks_at = tables.first[i];
    own.num_keys = own.rows->first_position + own.rows->num_rows;
    auto latents = collect<T>(q, op.cache, own, blocks);
    auto most = std::max<uint64_t>(usual_scratch / (bytes * own.num_keys), 1);
    for (; own.first_head < op.heads; own.first_head += own.num_heads) {
      own.num_heads
        = uint32_t(std::min<uint64_t>(most, op.heads - own.first_head));
      attend_heads<T>(q, op, own, blocks, latents, k_b);
    }
  }
}

template <class Queue>
void run(Queue& q, const mha_attention& op) {
  if (op.q.rows == 0)
    return;
  if (op.cache.type == dtype::f32)
    attend_multi_head<float>(q, op);
  else if (op.v_b.rows > 512)
    q.fail("values of more than 512 columns do not fit");
  else
    attend_multi_head<uint16_t>(q, op);
}

} // namespace troupe::kernels::cuda
