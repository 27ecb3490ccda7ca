@0xeba900fd0dcb74a5;
# Every message that one node of a cluster sends to another, once they have met (hello.capnp).
#
# A frame is one 64-byte header and a body. Integers are little-endian.
#
#   offset size field
#        0    4 magic "TRP1"
#        4    1 version: 2
#        5    1 class: 1 hello, 2 heartbeat, 3 control, 4 dispatch, 5 combine
#        6    2 layer: index of the model's layer; 0 outside of steps
#        8    4 cluster: hash of the cluster's name
#       12    4 view: the membership that I know
#       16    4 epoch: the placement by which I chose the destination
#       20    4 step: counts the steps of the sending rank; 0 outside of steps
#       24    8 source: the incarnation of my process, random at its start
#       32    8 destination: the incarnation that I mean; another one refuses the frame
#       40    8 id: a request, or for rows: rank 16 bits, worker 16, micro-batch 8, serial 24
#       48    8 first: for rows the number of the first answer, see DispatchSlab; else 0
#       56    4 length: bytes of the body
#       60    4 CRC32C of the connection's tag (hello.capnp), then of the header with this field zero,
#               then (by configuration) of the body
#
# **view** counts changes of membership, **epoch** changes of expert placement. A receiver drops and
# counts frames of another cluster, of an incarnation that is over, and of an older view or epoch.
#
# Bodies by class:
# * control: one `Control` message.
# * dispatch: a slab. 4 bytes: size of the message that follows, 4 bytes: offset of the rows (a
#   multiple of 64); then a `DispatchSlab` message; then the rows.
# * combine: the rows and nothing else: one answer for each entry of the section's `rows`, [hidden]
#   values of the cluster's combine type. The id names the worker that made them, `first` the number
#   of the first one. The answers to one section may come in any number of frames, in order. A frame
#   without rows says that the worker cannot answer.
#
# Frames of rows are cut: what one rank has for one node in one layer may come in several slabs with
# the same id, each complete in itself. Between two nodes control comes in the order in which it was
# sent, and so do rows; either may overtake the other.
#
# Comments are written from the sender's point of view.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::schema");

struct DispatchSlab {
  # Rows of one layer of one rank for the workers of your node. Give every section to its worker; the
  # rows are not to be copied for that. They are mine no longer.
  #
  # Every entry of a section's `rows` wants one answer, and the answers have numbers: the frame's
  # `first` is that of the first entry of the first section, and they go on from there, entry by entry
  # and section by section.

  numRows @0 :UInt32;
  rowBytes @1 :UInt32;
  # From one row to the next. A row is its values, zeros up to a multiple of 16 bytes, and with FP8
  # values one Float32 scale for each 128 of them.

  sections @2 :List(Section);
  # Ascending by worker; at least one.

  struct Section {
    worker @0 :UInt16;
    slots @1 :List(SlotRows);
    # Ascending by slot; their counts add up to the size of `rows`.
    rows @2 :List(UInt32);
    # Index of a row of this slab for each (row, expert) pair, sorted by slot.
  }

  struct SlotRows {
    slot @0 :UInt16;
    # A physical expert of the worker in this layer.
    count @1 :UInt32;
    # At least 1.
  }
}

struct Control {
  # What is not rows. Small: at most 16 MiB, and that only for prompts and logits.

  union {
    welcome @0 :Welcome;
    loaded @1 :Loaded;
    view @2 :View;
    connected @3 :Void;
    # I hold a connection to every node of the view that I have to talk to.
    started @4 :Void;
    # Every node is connected: serve.
    suspect @5 :Suspect;
    nodeLost @6 :NodeLost;
    shutdown @7 :Void;
    # The cluster ends: finish nothing, leave.
    runRequest @8 :RunRequest;
    cancelRequest @9 :UInt64;
    # Forget the request and free what it holds within one step.
    tokensReady @10 :TokensReady;
    report @11 :Report;
  }
}

struct Welcome {
  # From the controller to a node that has joined: who you are.

  node @0 :UInt16;
  topology @1 :Text;
  # The whole topology in TOML.
  modelDir @2 :Text;
  # Where the checkpoint lies, if your own command line does not say otherwise.
}

struct Loaded {
  # To the controller, several times: with `settings`, before I load my weights; then, in as many parts
  # as it takes, what I have loaded. Whose tokens would not be the controller's is refused.

  settings @0 :Text;
  # Lines "name value": configuration, tokenizer, precision, version of the operations. In the first
  # part alone.
  target @1 :Text;
  # What my device runs; empty if I have neither ranks nor workers. Likewise.

  names @2 :List(UInt64);
  # Of tensors that I hold: the low half of XXH3-128 of each name.
  digests @3 :List(UInt64);
  # XXH3-128 of the bytes in my files of each of them, low half first: two for every name.

  isComplete @4 :Bool;
  # The last part: my weights are in place.
}

struct View {
  # From the controller: the members. Nodes with a smaller id dial those with a larger one.

  view @0 :UInt32;
  epoch @1 :UInt32;
  members @2 :List(Member);
  # By node id.

  struct Member {
    name @0 :Text;
    incarnation @1 :UInt64;
    host @2 :Text;
    port @3 :UInt16;
  }
}

struct Suspect {
  # To the controller: evidence that a node is gone, not a verdict.
  node @0 :UInt16;
  why @1 :Text;
}

struct NodeLost {
  # From the controller: the verdict. Requests that need this node end with an error that names it.
  node @0 :UInt16;
  name @1 :Text;
  why @2 :Text;
}

struct RunRequest {
  # From the gateway to the scheduler of a rank.

  request @0 :UInt64;
  term @1 :UInt32;
  # Of ownership. Carry it in every answer; I refuse others.
  rank @2 :UInt16;
  prompt @3 :List(Int32);
  temperatureBits @4 :UInt32;
  # Of an IEEE single: bits, so that nothing on the way can round it.
  topPBits @5 :UInt32;
  topK @6 :UInt32;
  seed @7 :UInt64;
  maxTokens @8 :UInt32;
  # At least 1; prompt and answer fit into the context.
  ignoreEos @9 :Bool;
  wantLogits @10 :Bool;
}

struct TokensReady {
  # From a scheduler to the gateway that sent the request: these tokens, and perhaps its end.

  request @0 :UInt64;
  term @1 :UInt32;
  firstPosition @2 :UInt32;
  # Of tokens[0] in the answer; I send every position once and in order.
  tokens @3 :List(Int32);
  logits @4 :Data;
  # [tokens, vocab] IEEE singles, if wanted.
  finish @5 :UInt8;
  # 0 not yet, 1 stop, 2 length, 3 failed.
  causeCode @6 :UInt8;
  # Only with failed: an errc.
  causeText @7 :Text;
}

struct Report {
  # From every node to the gateway's node, a few times a second: my counters since my start.
  names @0 :List(Text);
  values @1 :List(UInt64);
}
