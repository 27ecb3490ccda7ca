#include "actors/wire.hpp"

#include "schemas/wire.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <bit>
#include <cstring>

namespace troupe {

namespace {

using schema::Control;

/// 16 MiB: the longest prompts, and logits for tests.
constexpr uint64_t max_words = 2u << 20;

kj::ArrayPtr<const kj::byte> as_bytes(const void* data, size_t size) {
  return kj::arrayPtr(static_cast<const kj::byte*>(data), size);
}

// -- to bytes -----------------------------------------------------------------

void write(Control::Builder out, const welcome& msg) {
  auto x = out.initWelcome();
  x.setNode(msg.node);
  x.setTopology(msg.topology);
  x.setModelDir(msg.model_dir);
}

void write(Control::Builder out, const node_loaded& msg) {
  out.initLoaded().setFingerprint(msg.fingerprint);
}

void write(Control::Builder out, const view_published& msg) {
  auto x = out.initView();
  auto& view = *msg.members;
  x.setView(view.number);
  x.setEpoch(view.epoch);
  auto members = x.initMembers(static_cast<unsigned>(view.members.size()));
  for (unsigned i = 0; i < view.members.size(); ++i) {
    auto& m = view.members[i];
    members[i].setName(m.name);
    members[i].setIncarnation(m.incarnation);
    members[i].setHost(m.address.host);
    members[i].setPort(m.address.port);
  }
}

void write(Control::Builder out, const node_connected&) {
  out.setConnected();
}

void write(Control::Builder out, const cluster_started&) {
  out.setStarted();
}

void write(Control::Builder out, const node_suspected& msg) {
  auto x = out.initSuspect();
  x.setNode(msg.node);
  x.setWhy(msg.why);
}

void write(Control::Builder out, const node_lost& msg) {
  auto x = out.initNodeLost();
  x.setNode(msg.node);
  x.setName(msg.name);
  x.setWhy(msg.why);
}

void write(Control::Builder out, const shut_down&) {
  out.setShutdown();
}

void write(Control::Builder out, const run_request& msg) {
  auto x = out.initRunRequest();
  auto& what = *msg.what;
  x.setRequest(msg.request);
  x.setTerm(msg.term);
  x.setRank(msg.rank);
  auto prompt = x.initPrompt(static_cast<unsigned>(what.prompt.size()));
  for (unsigned i = 0; i < what.prompt.size(); ++i)
    prompt.set(i, what.prompt[i]);
  x.setTemperatureBits(std::bit_cast<uint32_t>(what.sampling.temperature));
  x.setTopPBits(std::bit_cast<uint32_t>(what.sampling.top_p));
  x.setTopK(what.sampling.top_k);
  x.setSeed(what.sampling.seed);
  x.setMaxTokens(what.max_tokens);
  x.setIgnoreEos(what.ignore_eos);
  x.setWantLogits(what.want_logits);
}

void write(Control::Builder out, const cancel_request& msg) {
  out.setCancelRequest(msg.request);
}

void write(Control::Builder out, const tokens_ready& msg) {
  auto x = out.initTokensReady();
  auto& event = *msg.event;
  x.setRequest(msg.request);
  x.setTerm(msg.term);
  x.setFirstPosition(event.first_position);
  auto tokens = x.initTokens(static_cast<unsigned>(event.tokens.size()));
  for (unsigned i = 0; i < event.tokens.size(); ++i)
    tokens.set(i, event.tokens[i]);
  x.setLogits(
    as_bytes(event.logits.data(), event.logits.size() * sizeof(float)));
  x.setFinish(static_cast<uint8_t>(event.finish));
  if (event.cause) {
    x.setCauseCode(static_cast<uint8_t>(event.cause->code));
    x.setCauseText(event.cause->message);
  }
}

/// What a report says of the network, after the counters.
using network_field = uint64_t transport_stats::*;
constexpr std::pair<const char*, network_field> network_fields[] = {
  {"frames_sent", &transport_stats::frames_sent},
  {"frames_received", &transport_stats::frames_received},
  {"bytes_sent", &transport_stats::bytes_sent},
  {"bytes_received", &transport_stats::bytes_received},
};
constexpr const char* refused_prefix = "frames_refused.";

void write(Control::Builder out, const node_report& msg) {
  std::vector<std::pair<std::string, uint64_t>> all;
  for (size_t i = 0; i < num_counters; ++i)
    all.push_back({std::string{name_of(counter(i))}, msg.values[i]});
  for (auto& [name, field] : network_fields)
    all.push_back({name, msg.network.*field});
  for (size_t i = 0; i < size_t(refusal::num_refusals); ++i)
    all.push_back(
      {refused_prefix + std::to_string(i), msg.network.frames_refused[i]});
  auto x = out.initReport();
  auto names = x.initNames(static_cast<unsigned>(all.size()));
  auto values = x.initValues(static_cast<unsigned>(all.size()));
  for (unsigned i = 0; i < all.size(); ++i) {
    names.set(i, all[i].first);
    values.set(i, all[i].second);
  }
}

// -- from bytes ---------------------------------------------------------------

failure damaged(const char* what) {
  return {errc::invalid_input, std::string{"a control message has "} + what};
}

control_message read_view(schema::View::Reader in) {
  auto out = std::make_shared<view>();
  out->number = in.getView();
  out->epoch = in.getEpoch();
  for (auto m : in.getMembers())
    out->members.push_back(
      {m.getName(), m.getIncarnation(), {m.getHost(), m.getPort()}});
  return view_published{std::move(out)};
}

result<control_message> read_request(schema::RunRequest::Reader in) {
  auto what = std::make_shared<generation_request>();
  for (auto token : in.getPrompt())
    what->prompt.push_back(token);
  what->sampling.temperature = std::bit_cast<float>(in.getTemperatureBits());
  what->sampling.top_p = std::bit_cast<float>(in.getTopPBits());
  what->sampling.top_k = in.getTopK();
  what->sampling.seed = in.getSeed();
  what->max_tokens = in.getMaxTokens();
  what->ignore_eos = in.getIgnoreEos();
  what->want_logits = in.getWantLogits();
  return control_message{
    run_request{in.getRequest(), in.getTerm(), in.getRank(), std::move(what)}};
}

result<control_message> read_tokens(schema::TokensReady::Reader in) {
  auto event = std::make_shared<generation_event>();
  for (auto token : in.getTokens())
    event->tokens.push_back(token);
  event->first_position = in.getFirstPosition();
  auto logits = in.getLogits();
  if (logits.size() % sizeof(float) != 0
      || in.getFinish() > uint8_t(finish_reason::failed))
    return damaged("logits or a finish reason that make no sense");
  event->logits.resize(logits.size() / sizeof(float));
  if (logits.size() > 0)
    std::memcpy(event->logits.data(), logits.begin(), logits.size());
  event->finish = static_cast<finish_reason>(in.getFinish());
  if (event->finish == finish_reason::failed)
    event->cause = failure{static_cast<errc>(in.getCauseCode()),
                           in.getCauseText()};
  return control_message{
    tokens_ready{in.getRequest(), in.getTerm(), std::move(event)}};
}

result<control_message> read_report(node_id from, schema::Report::Reader in) {
  node_report out;
  out.node = from;
  auto names = in.getNames();
  auto values = in.getValues();
  if (names.size() != values.size())
    return damaged("a report with more names than values");
  // By name, so that versions may differ; unknown names are skipped.
  for (unsigned i = 0; i < names.size(); ++i) {
    std::string_view name{names[i].begin(), names[i].size()};
    for (size_t c = 0; c < num_counters; ++c)
      if (name == name_of(counter(c)))
        out.values[c] = values[i];
    for (auto& [field_name, field] : network_fields)
      if (name == field_name)
        out.network.*field = values[i];
    for (size_t r = 0; r < size_t(refusal::num_refusals); ++r)
      if (name == refused_prefix + std::to_string(r))
        out.network.frames_refused[r] = values[i];
  }
  return control_message{out};
}

result<control_message> read(node_id from, Control::Reader in) {
  switch (in.which()) {
    case Control::WELCOME: {
      auto x = in.getWelcome();
      return control_message{
        welcome{x.getNode(), x.getTopology(), x.getModelDir()}};
    }
    case Control::LOADED:
      return control_message{
        node_loaded{from, in.getLoaded().getFingerprint()}};
    case Control::VIEW:
      return read_view(in.getView());
    case Control::CONNECTED:
      return control_message{node_connected{from}};
    case Control::STARTED:
      return control_message{cluster_started{}};
    case Control::SUSPECT: {
      auto x = in.getSuspect();
      return control_message{node_suspected{x.getNode(), x.getWhy()}};
    }
    case Control::NODE_LOST: {
      auto x = in.getNodeLost();
      return control_message{node_lost{x.getNode(), x.getName(), x.getWhy()}};
    }
    case Control::SHUTDOWN:
      return control_message{shut_down{}};
    case Control::RUN_REQUEST:
      return read_request(in.getRunRequest());
    case Control::CANCEL_REQUEST:
      return control_message{cancel_request{in.getCancelRequest(), 0}};
    case Control::TOKENS_READY:
      return read_tokens(in.getTokensReady());
    case Control::REPORT:
      return read_report(from, in.getReport());
  }
  return damaged("a kind that this version does not know");
}

} // namespace

body encode(const control_message& message) {
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<Control>();
  std::visit([&](auto& x) { write(root, x); }, message);
  auto words = std::make_shared<kj::Array<capnp::word>>(
    capnp::messageToFlatArray(builder));
  auto bytes = words->asBytes();
  return {words,
          {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()}};
}

result<control_message> decode(node_id from, std::span<const std::byte> bytes) {
  if (bytes.size() % sizeof(capnp::word) != 0
      || reinterpret_cast<uintptr_t>(bytes.data()) % sizeof(capnp::word) != 0)
    return damaged("a size or an address that is no multiple of 8");
  auto words = kj::arrayPtr(reinterpret_cast<const capnp::word*>(bytes.data()),
                            bytes.size() / sizeof(capnp::word));
  try {
    capnp::FlatArrayMessageReader reader{
      words, {.traversalLimitInWords = max_words, .nestingLimit = 16}};
    return read(from, reader.getRoot<Control>());
  } catch (const kj::Exception&) {
    return damaged("bytes that cannot be read");
  }
}

} // namespace troupe
