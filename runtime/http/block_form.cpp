#include "runtime/http/block_form.hpp"

#include "kernels/check.hpp"

namespace troupe::http {

std::string block_form::piece(const answer_chunk& x) {
  return add(x.piece);
}

std::string block_form::finish(const answer_chunk& x, const answer_end& end) {
  auto out = add(x.piece);
  end_ = end;
  return out + close();
}

std::string block_form::whole(const std::vector<whole_answer>& all,
                              const usage& used) {
  CHECK(all.size() == 1); // requests of these forms have one answer
  add(all[0].piece);
  close();
  end_ = all[0].end;
  return body(used);
}

std::string block_form::add(const answer_piece& piece) {
  auto out = add(block_kind::thought, piece.reasoning);
  out += add(block_kind::speech, piece.content);
  for (const auto& call : piece.calls)
    out += add(call);
  return out;
}

std::string block_form::add(block_kind kind, const std::string& more) {
  if (more.empty())
    return {};
  std::string out;
  if (!is_open_ || blocks_.back().kind != kind)
    out = open({kind, {}, {}});
  blocks_.back().text += more;
  return out + extended(blocks_.size() - 1, more);
}

std::string block_form::add(const tool_call_piece& call) {
  std::string out;
  if (call.is_first)
    out = open({block_kind::call, {}, call.name});
  return out + add(block_kind::call, call.arguments);
}

std::string block_form::open(answer_block block) {
  auto out = close();
  blocks_.push_back(std::move(block));
  is_open_ = true;
  return out + opened(blocks_.size() - 1);
}

std::string block_form::close() {
  return std::exchange(is_open_, false) ? closed(blocks_.size() - 1)
                                        : std::string{};
}

} // namespace troupe::http
