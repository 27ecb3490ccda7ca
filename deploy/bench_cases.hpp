#pragma once

/// What `troupe bench model` is asked to measure, the cases that this makes,
/// and what a company has to claim for them.

#include "deploy/cluster_flags.hpp"
#include "runtime/cost/model_work.hpp"

#include <vector>

namespace troupe {

/// Prompts of one length that are given at once.
struct bench_prompt {
  uint32_t length = 0;
  uint32_t count = 1;
};

/// Reads "512" or, four at once, "4x512". Error: invalid_input.
result<bench_prompt> parse_bench_prompt(const std::string& text);

struct bench_options {
  cluster_flags cluster; ///< Of all companies, but for micro_batches.
  std::vector<bench_prompt> prompts{{512, 1}, {2048, 1}};
  std::vector<uint32_t> depths{0, 1024, 4096};
  std::vector<uint32_t> batches{1, 8, 32};
  /// Sequences of each lane of each rank, so that companies with more lanes
  /// decode more of them.
  std::vector<uint32_t> lane_batches;
  /// A company for each, "auto" or a number, to be compared; empty: one, as
  /// `cluster` says.
  std::vector<std::string> micro_batches;
  /// Another company, of one micro-batch and without emulated links: what it
  /// takes is what overlap is compared with.
  bool with_bound = false;
  uint32_t rounds = 3;
  uint32_t num_steps = 64;  ///< Of decoding, timed.
  uint32_t num_threads = 1; ///< Of this process.
  precision activations = precision::fp8;
  bool with_plain = true; ///< It holds the weights a second time.

  /// Whether figures stand beside each other rather than alone.
  bool compares() const {
    return !micro_batches.empty() || !lane_batches.empty() || with_bound;
  }

  uint32_t chunk() const; ///< Rows of a step at most.
};

/// One engine in one case; an element for each round.
struct bench_series {
  size_t company = 0;          ///< Its index, where it is one.
  std::vector<double> seconds; ///< Of a run.
  std::vector<double> floors;  ///< What the run's work takes at best.

  double median_seconds() const;
  /// Of the tenth part of rounds that was disturbed least.
  double tenth_seconds() const;
  /// The median over rounds of floor / time, in per cent.
  double roofline_percent() const;
};

struct bench_case {
  uint32_t prompt = 0;       ///< Prefill: its length; otherwise 0.
  uint32_t depth = 0;        ///< Decode: tokens of each prompt, 0 meaning 1.
  uint32_t batch = 1;        ///< Sequences, prefill: prompts, at once.
  uint32_t lane_batch = 0;   ///< For each lane of each rank; 0: not so asked.
  double tokens = 0;         ///< Of a run, all sequences.
  double steps = 0;          ///< Passes through the model.
  step_work work;            ///< Of a run.
  bool memory_bound = false; ///< Which limit the floor is.
  std::vector<bench_series> actors; ///< Of each company that takes part.
  bench_series plain;               ///< Empty without it.

  bool is_prefill() const {
    return prompt > 0;
  }

  /// "prefill 512", "decode, depth 1024, batch 8"
  std::string name() const;

  /// The series of a company; null if it does not take part.
  const bench_series* of(size_t company) const;
};

/// One of those that are compared.
struct bench_company {
  cluster_flags flags;     ///< With all that its cases need.
  uint32_t lanes = 1;      ///< That are filled whatever the batch; auto: 1.
  uint32_t most_lanes = 1; ///< In which a batch may be cut; auto: 2.
  bool is_bound = false;   ///< See bench_options::with_bound.

  /// "actors", "k=2", "auto", "k=1, no wire"
  std::string name() const;
};

/// Tokens that a sequence of a decode case may make: the timed ones and those
/// of the time in which others' prompts go through, in which each step takes
/// rows of prompts less one for each sequence that decodes.
uint32_t answer_room(const bench_options& o, const bench_case& x);

/// Rows of a step at most, whichever path takes it.
uint32_t max_rows(const bench_options& o, uint32_t max_batch);

/// Who is compared, in order, without what cases need.
std::vector<bench_company> list_companies(const bench_options& o);

/// All cases with their companies and without their work.
std::vector<bench_case> list_cases(const bench_options& o,
                                   const std::vector<bench_company>& all,
                                   uint32_t num_ranks);

/// Positions that the longest sequence takes.
uint64_t most_positions(const bench_options& o,
                        const std::vector<bench_case>& cases);

/// Claims for company `i` what its cases need and flags do not say. Errors:
/// invalid_input if flags leave too little for a case.
result<void> claim_for(bench_company& x, size_t i, const bench_options& o,
                       const std::vector<bench_case>& cases,
                       uint32_t num_ranks);

/// The middle of `values`, the upper one of two; 0 of none.
double median(std::vector<double> values);

} // namespace troupe
