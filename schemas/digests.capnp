@0xd1c0a5b7e63f4928;
# What the bytes of a model directory's tensors are, kept beside the machine's other caches so that
# they are read once and not at every start.
#
# A file holds one `Digests` message and behind it 16 bytes: XXH3-128 of the message, low half first,
# little-endian. One that is cut off, damaged or of another version is as good as none.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::schema");

struct Digests {
  files @0 :List(File);
}

struct File {
  name @0 :Text;
  # Within the directory. What follows holds for as long as the file is what it was:

  number @1 :UInt64;
  # on its device,
  size @2 :UInt64;
  # bytes,
  changed @3 :Int64;
  touched @4 :Int64;
  # when its content changed last, and when anything of it did, in ns since 1970.

  tensors @5 :List(Tensor);
}

struct Tensor {
  name @0 :Text;

  low @1 :UInt64;
  high @2 :UInt64;
  # XXH3-128 of the tensor's bytes.
}
