@0xd1b7a40c95e2f683;
# How two processes meet: over a TCP connection of their own (with TLS, if so configured), before the
# network that carries frames hears of either. A message is its length in 4 little-endian bytes, at
# most 4096, and one Hello. The connection stays open afterwards without a byte; its end tells that
# the process has ended. Who gives the other side up sends it a refusal first, with the reason, and
# leaves it a moment to close.
#
#     initiator                             responder (listens)
#         | greeting: who I am, nonce             |
#         |-------------------------------------->|
#         |        challenge: who I am, nonce, proof
#         |<--------------------------------------|
#         | proof, my data address                |
#         |-------------------------------------->|
#         |              welcome, my data address |
#         |<--------------------------------------|
#
# Either side may answer with refusal instead at any time; then it is over. So
# that a stranger learns nothing, the responder proves first that it knows the
# cluster's secret, and the initiator sends its own proof only to one that did.
#
# A proof is HMAC-SHA256, keyed with the secret, over this transcript; numbers
# are little-endian, strings are their length in 8 bytes and then their bytes:
#
#   "troupe hello 4", what is proven ("responder" in a challenge, "initiator" in a proof, "welcome"),
#   cluster's name, whether bodies are checksummed on this connection (8 bytes),
#   then for the initiator and then for the responder:
#   nonce, name, incarnation (8), fingerprint (8), listening host, port (8), ranks (8), workers (8), unit;
#   then the data address that the message carries, or nothing.
#
# Frames carry the first 8 bytes (1, if they are 0) of such an HMAC over "frames" as their tag, which
# nobody else can know who has not seen one.
#
# The purposes differ, so no proof can be sent back to its prover; the nonces are
# fresh, so none can be used again. Only the meeting is protected: what follows
# is clear text and belongs on a private network.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::schema");

struct Hello {
  stage @0 :Stage;
  # Says which of the fields below are set.

  protocol @1 :UInt16;
  # Always set. Raised when an old process would misunderstand a new one; another
  # number is refused. Ours is in handshake.cpp.

  cluster @2 :Text;
  # greeting, challenge. The name that both sides were given, at most 64 bytes.

  node @3 :Node;
  # greeting, challenge. Who I am.

  nonce @4 :Data;
  # greeting, challenge. 32 bytes that I drew for this connection alone.

  proof @5 :Data;
  # challenge, proof, welcome. 32 bytes, see above.

  reason @6 :Text;
  # refusal. One sentence for the other side's operator, at most 256 bytes.
  # Nothing that only a member may know.

  checksumBodies @7 :Bool;
  # greeting, challenge. I want the checksum of every frame to cover its body;
  # it does if either side wants it.

  dataAddress @8 :Data;
  # proof, welcome. Where frames reach me, in the words of the network that carries them, at most
  # 2048 bytes.
}

struct Node {
  name @0 :Text;
  # As in the topology, or new to it; 1 to 64 bytes.

  incarnation @1 :UInt64;
  # Drawn when my process started, never 0. A process that was given up is
  # refused when it comes back under the same number.

  fingerprint @2 :UInt64;
  # Hash of what decides my numbers before I know the model: the version of my
  # operations. If mine and yours are known (not 0) and differ, we do not work
  # together. What the model decides follows in Loaded (wire.capnp).

  host @3 :Text;
  # Numeric address at which others reach me, at most 64 bytes.

  port @4 :UInt16;

  ranks @5 :UInt32;
  workers @6 :UInt32;
  # What I bring. Without either: what the topology says of my name.

  unit @7 :Text;
  # Whose they are, at most 64 bytes. Empty: whichever it is.
}

enum Stage {
  none @0;
  # Never sent.
  greeting @1;
  challenge @2;
  proof @3;
  welcome @4;
  refusal @5;
}
