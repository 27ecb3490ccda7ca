#include "runtime/meeting/handshake.hpp"

#include <schemas/hello.capnp.h>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

namespace troupe {

namespace {

using bytes = std::vector<std::byte>;
using role = handshake::role;

handshake_options options_of(const std::string& name, uint64_t incarnation) {
  return {"cluster",
          "secret",
          {name, incarnation, 0, {"127.0.0.1", uint16_t(incarnation)}}};
}

hello_nonce nonce_of(int fill) {
  hello_nonce x;
  x.fill(std::byte(fill));
  return x;
}

struct Handshake : testing::Test {
  handshake_options a = options_of("a", 1), b = options_of("b", 2);

  struct outcome {
    handshake::step initiator, responder;
  };

  /// Runs a meeting; `twist` may change what is under way, the greeting first.
  outcome meet(std::function<void(int, bytes&)> twist = [](int, bytes&) {}) {
    handshake from{role::initiator, a, nonce_of(1)};
    handshake to{role::responder, b, nonce_of(2)};
    auto message = from.greeting();
    outcome x;
    for (int i = 0; i < 3; ++i) {
      twist(i, message);
      auto& step = i % 2 ? x.initiator : x.responder;
      step = (i % 2 ? from : to).receive(message);
      message = step.reply;
      if (step.failed) {
        auto& other = i % 2 ? x.responder : x.initiator;
        other = (i % 2 ? to : from).receive(message);
        return x;
      }
    }
    auto last = to.welcome();
    twist(3, last);
    x.initiator = from.receive(last);
    if (x.initiator.failed)
      return x;
    tags = {from.frame_tag(), to.frame_tag()};
    data_of_responder = from.peer_data_address();
    data_of_initiator = to.peer_data_address();
    peer_of_initiator = from.peer();
    peer_of_responder = to.peer();
    checksums = {from.checksum_bodies(), to.checksum_bodies()};
    return x;
  }

  void expect_refused(const outcome& x) {
    ASSERT_TRUE(x.initiator.failed && x.responder.failed);
    EXPECT_FALSE(x.initiator.done || x.responder.done);
    EXPECT_EQ(x.initiator.failed->code, errc::refused);
    EXPECT_EQ(x.responder.failed->code, errc::refused);
  }

  node_identity peer_of_initiator, peer_of_responder;
  std::pair<bool, bool> checksums;
  std::pair<uint64_t, uint64_t> tags;
  bytes data_of_initiator, data_of_responder;
};

/// The welcome of a meeting that nobody here took part in.
bytes welcome_of_others() {
  auto a = options_of("c", 3), b = options_of("d", 4);
  handshake from{role::initiator, a, nonce_of(5)};
  handshake to{role::responder, b, nonce_of(6)};
  to.receive(from.receive(to.receive(from.greeting()).reply).reply);
  return to.welcome();
}

/// Rewrites one field of a message.
void edit(bytes& message, std::function<void(schema::Hello::Builder)> f) {
  std::vector<capnp::word> words(message.size() / 8);
  std::memcpy(words.data(), message.data(), message.size());
  capnp::FlatArrayMessageReader reader{
    kj::arrayPtr(words.data(), words.size())};
  capnp::MallocMessageBuilder builder;
  builder.setRoot(reader.getRoot<schema::Hello>());
  f(builder.getRoot<schema::Hello>());
  auto flat = capnp::messageToFlatArray(builder);
  auto begin = reinterpret_cast<const std::byte*>(flat.asBytes().begin());
  message.assign(begin, begin + flat.asBytes().size());
}

} // namespace

TEST_F(Handshake, IntroducesBothSides) {
  a.self.brings = {2, 3, "decode"};
  auto x = meet();
  EXPECT_TRUE(x.initiator.done && x.responder.done);
  EXPECT_EQ(peer_of_responder.brings.ranks, 2u);
  EXPECT_EQ(peer_of_responder.brings.workers, 3u);
  EXPECT_EQ(peer_of_responder.brings.unit, "decode");
  EXPECT_TRUE(peer_of_initiator.brings.is_empty());
  EXPECT_EQ(peer_of_initiator.name, "b");
  EXPECT_EQ(peer_of_initiator.incarnation, 2u);
  EXPECT_EQ(peer_of_initiator.listen.port, 2u);
  EXPECT_EQ(peer_of_responder.name, "a");
  EXPECT_EQ(peer_of_responder.listen.host, "127.0.0.1");
}

TEST_F(Handshake, WorksWithoutASecretIfNeitherHasOne) {
  a.secret = b.secret = "";
  EXPECT_TRUE(meet().responder.done);
  a.secret = "x";
  expect_refused(meet());
}

TEST_F(Handshake, RefusesAnotherSecretClusterOrNumerics) {
  b.secret = "Secret";
  expect_refused(meet());
  b = options_of("b", 2);
  b.cluster = "Cluster";
  expect_refused(meet());
  b = options_of("b", 2);
  a.self.fingerprint = 5;
  b.self.fingerprint = 6;
  expect_refused(meet());
  b.self.fingerprint = 0; // Not known yet.
  EXPECT_TRUE(meet().responder.done);
}

TEST_F(Handshake, RefusesItself) {
  b.self.incarnation = a.self.incarnation;
  expect_refused(meet());
}

TEST_F(Handshake, ChecksumsBodiesIfEitherSideWantsIt) {
  meet();
  EXPECT_EQ(checksums, (std::pair{false, false}));
  a.checksum_bodies = true;
  meet();
  EXPECT_EQ(checksums, (std::pair{true, true}));
}

TEST_F(Handshake, NoticesEveryChangeOfWhatWasSaid) {
  using builder = schema::Hello::Builder;
  const std::function<void(builder)> changes[] = {
    [](builder x) { x.getNode().setName("c"); },
    [](builder x) { x.getNode().setIncarnation(77); },
    [](builder x) { x.getNode().setFingerprint(77); },
    [](builder x) { x.getNode().setHost("10.0.0.1"); },
    [](builder x) { x.getNode().setPort(77); },
    [](builder x) { x.setChecksumBodies(true); },
    [](builder x) { x.getNonce()[5] ^= 1; },
  };
  for (auto& change : changes)
    for (int which : {0, 1}) {
      auto x = meet([&](int i, bytes& message) {
        if (i == which)
          edit(message, change);
      });
      EXPECT_FALSE(x.initiator.done || x.responder.done);
    }
}

TEST_F(Handshake, NoticesEveryChangedBitOfAProof) {
  for (int which : {1, 2, 3})
    for (int bit = 0; bit < 256; ++bit) {
      auto x = meet([&](int i, bytes& message) {
        if (i == which)
          edit(message, [&](schema::Hello::Builder hello) {
            hello.getProof()[bit / 8] ^= 1 << bit % 8;
          });
      });
      ASSERT_TRUE(x.initiator.failed) << which << " " << bit;
      EXPECT_EQ(x.initiator.failed->code, errc::refused);
      EXPECT_FALSE(x.initiator.done);
    }
}

TEST_F(Handshake, TellsDataAddressesAndATagToTheTwoSidesAlone) {
  a.data_address = {std::byte{1}, std::byte{2}};
  b.data_address = {std::byte{3}};
  bool is_open = false;
  meet([&](int i, bytes& message) {
    if (i < 2) // Nothing of it before the other side has proven itself.
      edit(message, [&](schema::Hello::Builder x) {
        is_open |= x.getDataAddress().size() > 0;
      });
  });
  EXPECT_FALSE(is_open);
  EXPECT_EQ(data_of_initiator, a.data_address);
  EXPECT_EQ(data_of_responder, b.data_address);
  EXPECT_EQ(tags.first, tags.second);
  EXPECT_NE(tags.first, 0u);
  auto before = tags;
  b.secret = a.secret = "another";
  meet();
  EXPECT_NE(tags, before);
}

TEST_F(Handshake, NoticesAChangedDataAddress) {
  a.data_address = b.data_address = {std::byte{1}};
  for (int which : {2, 3}) {
    auto x = meet([&](int i, bytes& message) {
      if (i == which)
        edit(message, [](schema::Hello::Builder x) { x.initDataAddress(3); });
    });
    EXPECT_TRUE(x.initiator.failed) << which;
  }
}

TEST_F(Handshake, RefusesDataAddressesThatAreTooLong) {
  auto x = meet([&](int i, bytes& message) {
    if (i == 2)
      edit(message, [](schema::Hello::Builder x) {
        x.initDataAddress(unsigned(handshake::max_data_address) + 1);
      });
  });
  EXPECT_TRUE(x.responder.failed);
}

TEST_F(Handshake, DoesNotTakeAProofBack) {
  // Without the secret, an initiator can only return the responder's proof.
  bytes stolen;
  handshake to{role::responder, b, nonce_of(2)};
  handshake from{role::initiator, a, nonce_of(1)};
  auto challenge = to.receive(from.greeting()).reply;
  edit(challenge,
       [](schema::Hello::Builder x) { x.setStage(schema::Stage::PROOF); });
  auto step = to.receive(challenge);
  ASSERT_TRUE(step.failed);
  EXPECT_EQ(step.failed->code, errc::refused);
}

TEST_F(Handshake, DoesNotTakeAnEarlierProof) {
  bytes proof;
  meet([&](int i, bytes& message) {
    if (i == 2)
      proof = message;
  });
  handshake from{role::initiator, a, nonce_of(1)};
  handshake to{role::responder, b, nonce_of(3)}; // A fresh nonce.
  EXPECT_FALSE(to.receive(from.greeting()).failed);
  EXPECT_TRUE(to.receive(proof).failed);
}

TEST_F(Handshake, RefusesMessagesOutOfTurn) {
  handshake from{role::initiator, a, nonce_of(1)};
  EXPECT_TRUE(from.receive(welcome_of_others()).failed);
  handshake to{role::responder, b, nonce_of(2)};
  EXPECT_TRUE(to.receive(welcome_of_others()).failed);
  handshake late{role::responder, b, nonce_of(2)};
  auto greeting = handshake{role::initiator, a, nonce_of(1)}.greeting();
  EXPECT_FALSE(late.receive(greeting).failed);
  EXPECT_TRUE(late.receive(greeting).failed);
}

TEST_F(Handshake, RefusesAnotherProtocol) {
  expect_refused(meet([](int i, bytes& message) {
    if (i == 0)
      edit(message, [](schema::Hello::Builder x) { x.setProtocol(1); });
  }));
}

TEST_F(Handshake, RefusesFieldsOfTheWrongSize) {
  using builder = schema::Hello::Builder;
  const std::function<void(builder)> changes[] = {
    [](builder x) { x.getNode().setName(std::string(65, 'x').c_str()); },
    [](builder x) { x.getNode().setName(""); },
    [](builder x) { x.getNode().setIncarnation(0); },
    [](builder x) { x.getNode().setHost(std::string(65, '1').c_str()); },
    [](builder x) { x.setCluster(std::string(65, 'x').c_str()); },
    [](builder x) { x.initNonce(31); },
    [](builder x) { x.initNonce(0); },
  };
  for (auto& change : changes) {
    auto greeting = handshake{role::initiator, a, nonce_of(1)}.greeting();
    edit(greeting, change);
    handshake to{role::responder, b, nonce_of(2)};
    auto step = to.receive(greeting);
    ASSERT_TRUE(step.failed);
    EXPECT_EQ(step.failed->code, errc::invalid_input);
  }
}

TEST_F(Handshake, SurvivesCutAndDamagedMessages) {
  auto greeting = handshake{role::initiator, a, nonce_of(1)}.greeting();
  for (size_t n = 0; n < greeting.size(); ++n) {
    handshake to{role::responder, b, nonce_of(2)};
    auto step = to.receive(std::span{greeting}.first(n));
    EXPECT_TRUE(step.failed || n >= greeting.size() - 8) << n;
  }
  for (size_t bit = 0; bit < greeting.size() * 8; ++bit) {
    auto damaged = greeting;
    damaged[bit / 8] ^= std::byte(1 << bit % 8);
    handshake to{role::responder, b, nonce_of(2)};
    EXPECT_FALSE(to.receive(damaged).done);
  }
  bytes huge(handshake::max_message + 8);
  handshake to{role::responder, b, nonce_of(2)};
  EXPECT_TRUE(to.receive(huge).failed);
}

TEST_F(Handshake, KeepsReasonsOfARefusalShort) {
  handshake from{role::initiator, a, nonce_of(1)};
  auto step = from.receive(handshake::refuse(std::string(1000, 'x')));
  ASSERT_TRUE(step.failed);
  EXPECT_TRUE(step.refused_by_peer);
  EXPECT_TRUE(step.reply.empty());
  EXPECT_LT(step.failed->message.size(), 300u);
}

} // namespace troupe
