@0xd3a1f0c26b5e9471;
# What a cluster has to remember when all of its processes are gone: one file.
#
#   offset size field
#        0    8 magic "TROUPES1"
#        8    4 length of the message in bytes
#       12    4 CRC32C of the twelve bytes before, then of the message
#       16      one `ClusterState` message
#
# The file is replaced as a whole: written beside, flushed, renamed, and the directory flushed.
#
# Comments are written from the point of view of the one who writes.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::schema");

struct ClusterState {
  revision @0 :UInt64;
  # Grows by one with each change; whoever changes the state says which one it has seen.
  cluster @1 :Text;
  view @2 :UInt32;
  # Of the last view that may have been published.
  units @3 :List(Unit);
  slots @4 :List(Slot);
  # By node id.

  struct Unit {
    name @0 :Text;
    role @1 :Text;
    # prefill, decode or both.
    epoch @2 :UInt32;
    # Of its last placement.
    placement @3 :Data;
    # That placement, as whoever places experts has written it; empty: the first one.
  }

  struct Slot {
    name @0 :Text;
    incarnation @1 :UInt64;
    # Of its last process; 0: none has come.
    host @2 :Text;
    port @3 :UInt16;
    state @4 :UInt8;
    # 0 absent, 1 joining, 2 serving.
    isLeaving @5 :Bool;
    # It is being drained.
    ranks @6 :UInt32;
    workers @7 :UInt32;
    units @8 :List(Text);
    # What the node is of, and the units of these; nothing in files of before that was kept.
    isOpen @9 :Bool;
    # It is an open place; never said in such files.
  }
}
