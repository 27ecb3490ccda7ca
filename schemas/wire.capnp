@0xeba900fd0dcb74a5;
# Every message that one node of a cluster sends to another, once they have met (hello.capnp).
#
# A frame is one 64-byte header and a body. Integers are little-endian.
#
#   offset size field
#        0    2 magic "TR"
#        2    2 sequence: counts the frames of a lane (below) from my incarnation to yours, from 0, and
#               goes on at 0 after 65535; of hello 0, which is not counted
#        4    1 version: 4
#        5    1 class: 1 hello, 2 heartbeat, 3 control, 4 dispatch, 5 combine, 6 bulk
#        6    2 layer: of rows the index of the model's layer; else 0
#        8    4 cluster: hash of the cluster's name
#       12    4 view: the membership that I know
#       16    4 epoch: of rows the placement with which their rank has planned; else 0
#       20    4 step: of rows counts the steps of their rank; of bulk the transfer's generation; else 0
#       24    8 source: the incarnation of my process, random at its start
#       32    8 destination: the incarnation that I mean; another one refuses the frame
#       40    8 id: of rows: rank 16 bits, micro-batch 8, zero 8, serial 32; of bulk: the transfer; else 0
#       48    8 first: of dispatch the number of the first answer, see DispatchSlab; of bulk the place of
#               the chunk's first byte in the transfer; of a heartbeat how many frames of rows (lower 32
#               bits) and of bulk (upper) I had sent to you before, from 0 on and around; else 0
#       56    4 length: bytes of the body
#       60    4 CRC32C of the connection's tag (hello.capnp), then of the body (always for bulk, else by
#               configuration), then of the header with this field zero
#
# A receiver drops and counts frames of another cluster, of an incarnation that it does not know or
# that is over, and those that come again. Who misses a frame (the next of its lane has come, or the second
# heartbeat that tells of it) or gets one damaged gives its sender up and says so: what comes behind it cannot be trusted. **view** counts changes of membership and only informs: rows of those who stay are
# never dropped for it. **epoch** counts changes of the expert placement of the rank's unit. Who plans
# rows writes it, answers repeat it. A worker takes rows of every epoch from the oldest that is not
# retired to the newest that it knows and one more, judges them by slot and expert, and answers those
# that it cannot run with `rowsRefused`.
#
# Bodies by class:
# * control: one `Control` message.
# * dispatch: a slab. 4 bytes: size of the message that follows, 4 bytes: offset of the rows (a
#   multiple of 64); then a `DispatchSlab` message; then the rows.
# * combine: a slab. 4 bytes: number of sections, 4 bytes: offset of the rows (the first multiple of
#   64 behind the sections); then the sections, ascending by worker, each
#       worker 2 bytes, zero 2, count 4 (at least 1), first 8: the number of its first answer;
#   then zeros, then the rows of all sections one after the other: [hidden] values of the cluster's
#   combine type for each entry of a dispatch section's `rows`. The answers to one section may come in
#   any number of frames, in order.
# * bulk: the bytes, at most 262144.
#
# Frames of rows are cut: what one rank has for one node in one layer may come in several slabs with
# the same id, each complete in itself. Between two nodes control comes in the order in which it was
# sent, and so do rows, and so does bulk: these three are the lanes, heartbeats are control. Each may
# overtake the others. Bulk is sent only where nothing
# else waits.
#
# Comments are written from the sender's point of view.

using Cxx = import "/capnp/c++.capnp";
using Placements = import "placements.capnp";
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
    expert @2 :UInt16;
    # The logical expert that the slot holds by my epoch. If it holds another one, refuse.
  }
}

struct Control {
  # What is not rows. Small: at most 16 MiB, and that only for prompts and logits.

  union {
    welcome @0 :Welcome;
    loaded @1 :Loaded;
    view @2 :View;
    connected @3 :Void;
    # Said no more: see `holds`.
    started @4 :Void;
    # Every node is connected: serve.
    suspect @5 :Suspect;
    nodeLost @6 :NodeLost;
    shutdown @7 :Void;
    # The cluster ends: finish nothing, leave.
    runRequest @8 :RunRequest;
    cancelRequest @9 :CancelRequest;
    tokensReady @10 :TokensReady;
    report @11 :Report;
    rowsRefused @12 :RowsRefused;
    placement @13 :Placements.Placement;
    placementTaken @14 :Placements.PlacementTaken;
    changeSlots @15 :Placements.ChangeSlots;
    slotsChanged @16 :Placements.SlotsChanged;
    expertsGivenUp @17 :Placements.ExpertsGivenUp;
    nodeBack @18 :NodeBack;
    holds @19 :UInt32;
    # I hold a connection to every node in the view of this number that is there.
    offerBlocks @20 :OfferBlocks;
    wantBlocks @21 :WantBlocks;
    blockTaken @22 :BlockTaken;
    offerEnded @23 :OfferEnded;
    moveRequest @24 :MoveRequest;
    requestCopied @25 :RequestCopied;
  }
}

struct Welcome {
  # From the controller to a node that has joined: who you are.

  node @0 :UInt16;
  topology @1 :Text;
  # The whole topology in TOML.
  modelDir @2 :Text;
  # Where the checkpoint lies, if your own command line does not say otherwise.
  isRunning @3 :Bool;
  # The cluster serves, and you come in the place of a process that was lost: that others are lost is not
  # your end.
  placed @4 :List(Placements.Placement);
  # What units begin with, and so what you load; of others it follows from the topology.
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
  # From the controller: the members, from now on. Nodes with a smaller id dial those with a larger one.
  # Connections to those who stay are not touched, nor are rows on their way.

  view @0 :UInt32;
  # Grows from one to the next.
  epochs @1 :List(UInt32);
  # Of the placement of each unit.
  members @2 :List(Member);
  # By node id.

  struct Member {
    name @0 :Text;
    incarnation @1 :UInt64;
    # Of one that is absent: of its last process.
    host @2 :Text;
    port @3 :UInt16;
    state @4 :UInt8;
    # 0 absent: do not connect, 1 joining: connect, but it does not serve until `started` or `nodeBack`,
    # 2 serving.
  }
}

struct Suspect {
  # To the controller: evidence that a process is gone, not a verdict. Ignore it if the node is another
  # process by now.
  node @0 :UInt16;
  why @1 :Text;
  incarnation @2 :UInt64;
  # Of the process; never 0.
}

struct NodeLost {
  # From the controller: the verdict. Who needs this node goes on without it, or waits until `nodeBack`.
  node @0 :UInt16;
  name @1 :Text;
  why @2 :Text;
  incarnation @3 :UInt64;
  # Of the process that is lost; never 0. Said late it is not about its successor.
}

struct NodeBack {
  # From the controller: everybody is connected to this process, which serves in the place of one that
  # was lost.
  node @0 :UInt16;
  name @1 :Text;
  incarnation @2 :UInt64;
  # Never 0.
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
  unit @11 :UInt16;
  # That the rank belongs to.
  segments @12 :List(Segment);
  # Of the prompt, in order; their lengths add up to its own. None: one that was given.
  answered @13 :List(Int32);
  # What the answer has already: the next token's position in it is the length of this, and maxTokens
  # counts these too. Fewer than maxTokens.
  minTokens @14 :UInt32;
  # Before so many none is chosen that would end the answer.
  stopIds @15 :List(Int32);
  # They end the answer like the model's end tokens; at most 64.
  minPBits @16 :UInt32;
  # Of an IEEE single, like the three that follow.
  repetitionPenaltyBits @17 :UInt32;
  presencePenaltyBits @18 :UInt32;
  frequencyPenaltyBits @19 :UInt32;
  biases @20 :List(Bias);
  # Ascending by id; at most 1024.
  numScores @21 :UInt8;
  # Log-probabilities with every token: its own, then those of the likeliest. At most 21.
  numPromptScores @22 :UInt8;
  # Likewise of the prompt's tokens but the first.
  grammarKind @23 :UInt8;
  # What the answer's text has to be, by a source that you compile: 0 anything, 1 a JSON object, 2 a JSON
  # schema, 3 a regular expression, 4 one of a list of strings (in JSON), 5 GBNF, 6 tool calls.
  grammar @24 :Text;
  # The source; at most 65536 bytes. Where an answer is in it follows from the answer's tokens.
  grammarAfterThought @25 :Bool;
  # It begins behind the first </think>.
  cacheSalt @26 :Data;
  # What it finds in the cache of prefixes those with the same salt have left; at most 128 bytes.
  next @27 :UInt16 = 65535;
  # The rank that goes on with it: after its next token it is yours no longer. 65535: it is to its end.
  priority @28 :Int32;
  # The smaller, the earlier its turn; from -100 to 100.

  struct Bias {
    # What is added to the logit of a token.
    id @0 :Int32;
    addBits @1 :UInt32;
    # Of an IEEE single.
  }

  struct Segment {
    # What one author has written.
    length @0 :UInt32;
    # At least 1.
    author @1 :UInt8;
    # 0 given, 1 generated.
  }
}

struct OfferBlocks {
  # From a rank that hands a request over to the one that goes on with it, as soon as it has it: I compute
  # its beginning, and you may have the blocks.

  rank @0 :UInt16;
  # You.
  from @1 :UInt16;
  # I.
  of @2 :RunRequest;
  # As I was asked.
}

struct WantBlocks {
  # Send me these blocks of the beginning of that request, in bulk frames: one transfer, whose generation
  # is the term. A block is all layers of 64 tokens, in as many frames as it takes, in order.

  rank @0 :UInt16;
  # You.
  by @1 :UInt16;
  # I.
  request @2 :UInt64;
  term @3 :UInt32;
  # As it was offered.
  transfer @4 :UInt64;
  # The upper 16 bits are my rank.
  first @5 :UInt32;
  # Of the request's blocks, from 0 on.
  count @6 :UInt32;
  # 0: I want none.
}

struct BlockTaken {
  # A block of that transfer has come.

  rank @0 :UInt16;
  # You.
  transfer @1 :UInt64;
  generation @2 :UInt32;
  chunk @3 :UInt32;
  # From 0 on.
  goesOn @4 :Bool;
  # If not: none has, and I want no more of it.
}

struct OfferEnded {
  # I shall not hand that request over: forget its blocks.

  rank @0 :UInt16;
  # You.
  request @1 :UInt64;
  term @2 :UInt32;
  # As it was offered.
}

struct MoveRequest {
  # From the gateway to the rank that runs a request: go on with it, and offer its blocks to the rank that
  # shall. Answer with RequestCopied.

  request @0 :UInt64;
  rank @1 :UInt16;
  # You.
  term @2 :UInt32;
  # Yours. Of another one: it is not meant.
  to @3 :UInt16;
  # You yourself: the move that was begun is given up, and the request stays. Of the two the first is
  # answered.
}

struct RequestCopied {
  # To the gateway, of a MoveRequest.

  request @0 :UInt64;
  term @1 :UInt32;
  to @2 :UInt16;
  # As I was told.
  ok @3 :Bool;
  # That rank has the blocks that were full then. If not: it does not get them all, and the request is
  # to stay.
}

struct CancelRequest {
  # From the gateway to the scheduler of a rank: forget the request and free what it holds within one
  # step. Of another term: it is not meant.

  request @0 :UInt64;
  rank @1 :UInt16;
  term @2 :UInt32;
  isPassedOn @3 :Bool;
  # The rank that you have given blocks to goes on with it: it needs them.
}

struct RowsRefused {
  # From a node with workers to a rank: its dispatch was not, or not wholly, run, and the answers that
  # are missing will not come.

  id @0 :UInt64;
  # As in the header of the dispatch, like the three that follow.
  layer @1 :UInt16;
  epoch @2 :UInt32;
  step @3 :UInt32;
  worker @4 :UInt16;
  # 65535: the whole slab.
  why @5 :UInt8;
  # 1 damaged slab, 2 unknown worker, 3 layer without experts, 4 unknown epoch, 5 unknown slot,
  # 6 another expert in the slot, 7 too many rows, 8 no memory, 9 the device failed.
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
  endToken @8 :Int32 = -1;
  # Only with stop: the token that ended the answer, which is not one of tokens.
  scores @9 :Data;
  # [tokens, then endToken, numScores], each an Int32, whose it is or -1, and an IEEE single.
  promptScores @10 :Data;
  # [tokens of the prompt, numPromptScores], likewise. I send them once and in order.
  firstScored @11 :UInt32;
  # Place in the prompt of the first of these.
  numCached @12 :UInt32;
  # Tokens of the prompt that were found in the cache of prefixes. With the first token.
}

struct Report {
  # From every node to the gateway's node, a few times a second: my counters since my start.
  names @0 :List(Text);
  values @1 :List(UInt64);

  # About once a second also what my parts have counted:
  ranks @2 :List(UInt64);
  # [ranks, 12]: number; requests that run, that wait; cache blocks that are free, of these those that
  # can still be found; steps; tokens generated; picoseconds that a step takes at least, more for
  # each request that decodes and each of its tokens in the cache, more for each token of a prompt and each
  # that it attends to (0: not known).
  workers @3 :List(UInt64);
  # [workers, 3]: number; grouped runs; pairs of a row and an expert.
  expertRows @4 :List(UInt64);
  # [MoE layers * experts]: rows of my ranks that chose each logical expert.
  hasLoads @5 :Bool;
}
