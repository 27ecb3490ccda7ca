@0xeba900fd0dcb74a5;
# Every message that one node sends to another.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::schema");

struct DispatchSlab {
  placeholder @0 :Void;
}
