#include "runtime/meeting/handshake.hpp"

#include <schemas/hello.capnp.h>

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>

namespace troupe {

namespace {

using stage = schema::Stage;

constexpr uint16_t protocol = 17;
constexpr size_t max_name = 64;
constexpr size_t max_reason = 256;

std::vector<std::byte> to_bytes(capnp::MallocMessageBuilder& builder) {
  auto words = capnp::messageToFlatArray(builder);
  auto bytes = words.asBytes();
  auto begin = reinterpret_cast<const std::byte*>(bytes.begin());
  return {begin, begin + bytes.size()};
}

schema::Hello::Builder begin(capnp::MallocMessageBuilder& builder, stage x) {
  auto hello = builder.initRoot<schema::Hello>();
  hello.setStage(x);
  hello.setProtocol(protocol);
  return hello;
}

kj::ArrayPtr<const kj::byte> data_of(std::span<const std::byte> x) {
  return {reinterpret_cast<const kj::byte*>(x.data()), x.size()};
}

/// The bytes that a proof covers.
class transcript {
public:
  void add(std::string_view text) {
    add(text.size());
    bytes_ += text;
  }

  void add(uint64_t x) {
    for (int shift = 0; shift < 64; shift += 8)
      bytes_ += char(x >> shift);
  }

  void add(const node_identity& x, const hello_nonce& nonce) {
    bytes_.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
    add(x.name);
    add(x.incarnation);
    add(x.fingerprint);
    add(x.listen.host);
    add(uint64_t{x.listen.port});
    add(uint64_t{x.brings.ranks});
    add(uint64_t{x.brings.workers});
    add(x.brings.unit);
  }

  std::array<std::byte, 32> sign(const std::string& secret) const {
    std::array<std::byte, 32> out{};
    unsigned size = 0;
    auto key = secret.empty() ? "" : secret.data();
    auto ok = HMAC(EVP_sha256(), key, int(secret.size()),
                   reinterpret_cast<const unsigned char*>(bytes_.data()),
                   bytes_.size(), reinterpret_cast<unsigned char*>(out.data()),
                   &size);
    CHECK(ok != nullptr && size == out.size());
    return out;
  }

private:
  std::string bytes_;
};

failure malformed(const char* why) {
  return {errc::invalid_input, std::string{"a hello is malformed: "} + why};
}

} // namespace

/// A Hello whose sizes have been checked.
struct handshake::message {
  stage what = stage::NONE;
  uint16_t protocol = 0;
  std::string cluster;
  side_data sender;
  std::optional<std::array<std::byte, 32>> proof;
  std::string reason;
  bool checksum_bodies = false;
};

namespace {

template <class Message>
result<void> read_introduction(schema::Hello::Reader hello, Message& x) {
  auto node = hello.getNode();
  for (size_t size : {hello.getCluster().size(), node.getName().size(),
                      node.getHost().size(), node.getUnit().size()})
    if (size > max_name)
      return malformed("a name is too long");
  if (node.getName().size() == 0 || node.getIncarnation() == 0)
    return malformed("it lacks a name or an incarnation");
  if (hello.getNonce().size() != x.sender.nonce.size())
    return malformed("its nonce is not 32 bytes long");
  std::memcpy(x.sender.nonce.data(), hello.getNonce().begin(),
              x.sender.nonce.size());
  x.cluster = hello.getCluster().cStr();
  x.sender.identity
    = {node.getName().cStr(),
       node.getIncarnation(),
       node.getFingerprint(),
       {node.getHost().cStr(), node.getPort()},
       {node.getRanks(), node.getWorkers(), node.getUnit().cStr()}};
  x.checksum_bodies = hello.getChecksumBodies();
  return {};
}

template <class Message>
result<void> read_hello(schema::Hello::Reader hello, Message& x) {
  x.what = hello.getStage();
  x.protocol = hello.getProtocol();
  if (x.what == stage::GREETING || x.what == stage::CHALLENGE)
    if (auto ok = read_introduction(hello, x); !ok)
      return ok;
  if (x.what == stage::CHALLENGE || x.what == stage::PROOF
      || x.what == stage::WELCOME) {
    auto proof = hello.getProof();
    if (proof.size() != 32)
      return malformed("its proof is not 32 bytes long");
    std::memcpy(x.proof.emplace().data(), proof.begin(), 32);
  }
  if (x.what == stage::PROOF || x.what == stage::WELCOME) {
    auto address = hello.getDataAddress();
    if (address.size() > handshake::max_data_address)
      return malformed("its data address is too long");
    auto first = reinterpret_cast<const std::byte*>(address.begin());
    x.sender.data_address.assign(first, first + address.size());
  }
  if (x.what == stage::REFUSAL)
    x.reason = std::string{hello.getReason().cStr()}.substr(0, max_reason);
  return {};
}

} // namespace

result<handshake::message> handshake::parse(std::span<const std::byte> bytes) {
  if (bytes.size() > max_message || bytes.size() % 8 != 0)
    return malformed("its size is wrong");
  std::vector<capnp::word> words(bytes.size() / 8);
  if (!words.empty())
    std::memcpy(words.data(), bytes.data(), bytes.size());
  capnp::ReaderOptions limits;
  limits.traversalLimitInWords = 2 * max_message / 8;
  limits.nestingLimit = 4;
  message x;
  try {
    capnp::FlatArrayMessageReader reader{
      kj::arrayPtr(words.data(), words.size()), limits};
    if (auto ok = read_hello(reader.getRoot<schema::Hello>(), x); !ok)
      return ok.why();
  } catch (const kj::Exception&) {
    return malformed("it cannot be read");
  }
  return x;
}

handshake::handshake(role side, const handshake_options& options,
                     hello_nonce nonce)
  : role_(side), options_(options),
    expects_(side == role::initiator ? state::challenge : state::greeting),
    self_{options.self, nonce, options.data_address} {
  CHECK(!options.self.name.empty() && options.self.name.size() <= max_name);
  CHECK(options.cluster.size() <= max_name && options.self.incarnation != 0);
  CHECK(options.self.brings.unit.size() <= max_name);
  CHECK(options.data_address.size() <= max_data_address);
}

std::vector<std::byte> handshake::greeting() const {
  CHECK(role_ == role::initiator);
  return introduction(false);
}

std::vector<std::byte> handshake::welcome() const {
  CHECK(role_ == role::responder && is_done_);
  capnp::MallocMessageBuilder builder;
  auto hello = begin(builder, stage::WELCOME);
  hello.setDataAddress(data_of(self_.data_address));
  hello.setProof(data_of(sign("welcome", self_.data_address)));
  return to_bytes(builder);
}

std::vector<std::byte> handshake::refuse(std::string_view reason) {
  capnp::MallocMessageBuilder builder;
  auto hello = begin(builder, stage::REFUSAL);
  hello.setReason(std::string{reason.substr(0, max_reason)}.c_str());
  return to_bytes(builder);
}

std::optional<std::string>
handshake::read_refusal(std::span<const std::byte> message) {
  auto x = parse(message);
  if (!x || x->what != stage::REFUSAL)
    return std::nullopt;
  return x->reason;
}

std::vector<std::byte> handshake::introduction(bool with_proof) const {
  capnp::MallocMessageBuilder builder;
  auto hello = begin(builder, with_proof ? stage::CHALLENGE : stage::GREETING);
  hello.setCluster(options_.cluster.c_str());
  hello.setNonce(data_of(self_.nonce));
  hello.setChecksumBodies(options_.checksum_bodies);
  auto node = hello.initNode();
  node.setName(self_.identity.name.c_str());
  node.setIncarnation(self_.identity.incarnation);
  node.setFingerprint(self_.identity.fingerprint);
  node.setHost(self_.identity.listen.host.c_str());
  node.setPort(self_.identity.listen.port);
  node.setRanks(self_.identity.brings.ranks);
  node.setWorkers(self_.identity.brings.workers);
  node.setUnit(self_.identity.brings.unit.c_str());
  if (with_proof)
    hello.setProof(data_of(sign("responder", {})));
  return to_bytes(builder);
}

std::array<std::byte, 32>
handshake::sign(std::string_view purpose,
                std::span<const std::byte> data_address) const {
  auto ours_first = role_ == role::initiator;
  auto& initiator = ours_first ? self_ : peer_;
  auto& responder = ours_first ? peer_ : self_;
  transcript x;
  x.add("troupe hello 4");
  x.add(purpose);
  x.add(options_.cluster);
  x.add(uint64_t{checksum_bodies_});
  x.add(initiator.identity, initiator.nonce);
  x.add(responder.identity, responder.nonce);
  x.add(
    {reinterpret_cast<const char*>(data_address.data()), data_address.size()});
  return x.sign(options_.secret);
}

bool handshake::is_signed(const message& x, std::string_view purpose) const {
  auto expected = sign(purpose, x.sender.data_address);
  return CRYPTO_memcmp(expected.data(), x.proof->data(), expected.size()) == 0;
}

uint64_t handshake::frame_tag() const {
  CHECK(is_done_);
  auto bytes = sign("frames", {});
  uint64_t tag = 0;
  std::memcpy(&tag, bytes.data(), sizeof tag);
  return std::max<uint64_t>(tag, 1);
}

handshake::step handshake::receive(std::span<const std::byte> bytes) {
  auto x = parse(bytes);
  if (!x)
    return fail(x.why().code, x.why().message, "the hello is malformed");
  if (x->what == stage::REFUSAL) {
    expects_ = state::over;
    return {.reply = {},
            .failed = failure{errc::refused,
                              "the other side refused us: " + x->reason},
            .refused_by_peer = true};
  }
  if (x->protocol != protocol)
    return fail(errc::refused, "the other side speaks another protocol",
                "the protocol is another one");
  if (expects_ == state::greeting && x->what == stage::GREETING)
    return on_greeting(*x);
  if (expects_ == state::challenge && x->what == stage::CHALLENGE)
    return on_challenge(*x);
  if (expects_ == state::proof && x->what == stage::PROOF)
    return on_proof(*x);
  if (expects_ == state::welcome && x->what == stage::WELCOME)
    return on_welcome(*x);
  return fail(errc::invalid_input, "a hello came out of turn",
              "the hello is out of turn");
}

handshake::step handshake::fail(errc code, std::string message,
                                std::string_view reason) {
  expects_ = state::over;
  return {.reply = refuse(reason), .failed = failure{code, std::move(message)}};
}

result<void> handshake::take_identity(const message& x) {
  auto no = [](std::string why) { return failure{errc::refused, why}; };
  if (x.cluster != options_.cluster)
    return no("the clusters are not the same");
  peer_ = x.sender;
  checksum_bodies_ = options_.checksum_bodies || x.checksum_bodies;
  if (peer_.identity.incarnation == self_.identity.incarnation)
    return no("both sides have the same incarnation");
  auto theirs = peer_.identity.fingerprint;
  auto ours = self_.identity.fingerprint;
  if (theirs != 0 && ours != 0 && theirs != ours)
    return no("the numerics of the two sides differ");
  return {};
}

handshake::step handshake::on_greeting(const message& x) {
  if (auto ok = take_identity(x); !ok)
    return fail(ok.why().code, ok.why().message, ok.why().message);
  expects_ = state::proof;
  return {.reply = introduction(true)};
}

handshake::step handshake::on_challenge(const message& x) {
  if (auto ok = take_identity(x); !ok)
    return fail(ok.why().code, ok.why().message, ok.why().message);
  if (!is_signed(x, "responder"))
    return fail_proof();
  expects_ = state::welcome;
  capnp::MallocMessageBuilder builder;
  auto hello = begin(builder, stage::PROOF);
  hello.setDataAddress(data_of(self_.data_address));
  hello.setProof(data_of(sign("initiator", self_.data_address)));
  return {.reply = to_bytes(builder), .met = true};
}

handshake::step handshake::on_proof(const message& x) {
  if (!is_signed(x, "initiator"))
    return fail_proof();
  peer_.data_address = x.sender.data_address;
  expects_ = state::over;
  is_done_ = true;
  return {.reply = {}, .done = true};
}

handshake::step handshake::on_welcome(const message& x) {
  if (!is_signed(x, "welcome"))
    return fail_proof();
  peer_.data_address = x.sender.data_address;
  expects_ = state::over;
  is_done_ = true;
  return {.reply = {}, .done = true};
}

handshake::step handshake::fail_proof() {
  return fail(errc::refused, "the secrets are not the same",
              "the secrets are not the same");
}

} // namespace troupe
