@0xb4c2d1f0a9337e65;
# How a placement follows another while rows are on their way; parts of Control (wire.capnp).
#
#   controller's node        a worker               a rank
#        | load                |                      |
#        |-------------------->| reads, proves        |
#        |        slotsChanged |                      |
#        |<--------------------|                      |
#        | serve               |                      |
#        |-------------------->|                      |
#        | placement           |                      |
#        |------------------------------------------->| no step of older ones is out
#        |                            placementTaken  |
#        |<-------------------------------------------|
#        | retire              |                      |
#        |-------------------->| frees                |
#        |        slotsChanged |                      |
#        |<--------------------|                      |
#
# Before `serve` it may be given up: drop.
#
# Comments are written from the sender's point of view.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::schema");

struct Placement {
  # From the controller's node to those with ranks: plan with this from your next steps on.

  unit @0 :UInt16;
  epoch @1 :UInt32;
  replicas @2 :List(Replica);
  # An expert that is in none has nobody: rows for it wait.

  struct Replica {
    layer @0 :UInt16;
    # Among those with experts, from 0.
    expert @1 :UInt16;
    # The logical one.
    worker @2 :UInt16;
    slot @3 :UInt16;
    weight @4 :UInt16;
    # Its share of the rows is this of the sum; at least 1.
  }
}

struct PlacementTaken {
  # From a rank: no step of mine is out that was planned with a placement before this one.

  rank @0 :UInt16;
  epoch @1 :UInt32;
}

struct ChangeSlots {
  # From the controller's node to a worker.

  change @0 :UInt32;
  # Counts what I try; carry it in the answer.
  worker @1 :UInt16;
  step @2 :UInt8;
  # 0 load: fill these slots, and say when what they hold is proven. 1 drop: empty them, the change
  # is over. 2 serve: `epoch` is the newest, and from it on nobody wants what is in these slots.
  # 3 retire: `epoch` is the oldest; say when the slots are free that it has left.
  epoch @3 :UInt32;
  slots @4 :List(Slot);

  struct Slot {
    layer @0 :UInt16;
    slot @1 :UInt16;
    expert @2 :UInt16;
    proofLow @3 :UInt64;
    proofHigh @4 :UInt64;
    # XXH3-128 of the names and digests (Loaded) of the expert's tensors, in the order of their names;
    # 0: I do not know it.
  }
}

struct SlotsChanged {
  # From a worker: that is done, or cannot be.

  change @0 :UInt32;
  worker @1 :UInt16;
  step @2 :UInt8;
  # 0 load, 3 retire.
  failure @3 :Text;
  # Empty: it is done.
}

struct ExpertsGivenUp {
  # From the controller's node to those with ranks: experts of a unit have nobody and get nobody.

  why @0 :Text;
  unit @1 :UInt16;
}
