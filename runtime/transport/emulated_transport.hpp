#pragma once

/// A transport whose links are slower than what carries them: each frame is
/// handed on as late as a link of the kind that was asked for would have
/// brought it. It keeps the promise of every transport: frames of a pair and
/// lane come in order or not at all, and what waits has a limit.
///
/// What goes out of this process is held, with its memory; what comes in is
/// held by its sender. Heartbeats are made below, by the transport that is
/// decorated, and are never held.

#include "runtime/transport/emulated_link.hpp"
#include "runtime/transport/link_emulation.hpp"
#include "runtime/transport/transport_decorator.hpp"

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace troupe {

/// The links of one node and what they hold. Shared by an emulated_transport
/// and those who tell it of peers; for any thread.
class link_emulator {
public:
  /// Of several that concern the same frames the last one holds. `name` is the
  /// node's: the jitter of two of them is not the same.
  link_emulator(std::vector<link_emulation> all, std::string name,
                const clock& time);

  /// What is to be told to the owner of the transport, after it was told here.
  transport_handler listen(transport_handler owner);

private:
  friend class emulated_transport;

  struct peer_state {
    uint64_t incarnation = 0;
    bool is_given_up = false; ///< It takes nothing any more.
    std::vector<std::unique_ptr<emulated_link>> links;
    std::array<emulated_link*, num_lanes> lanes{}; ///< Null: not held.
  };

  enum class fate : uint8_t { held, passes, too_much };

  struct verdict {
    fate what = fate::passes;
    uint64_t incarnation = 0; ///< Whose it was too much for.
  };

  peer_state make_peer(node_id peer, uint64_t incarnation) const;
  void drop(node_id peer, uint64_t incarnation);
  verdict offer(node_id to, const frame_header& header, body& payload);
  std::optional<std::pair<node_id, emulated_link::parcel>> take();
  std::vector<std::pair<node_id, emulated_link::parcel>> take_all();
  void set_max_unsent(size_t bytes);
  clock::instant next() const;
  bool wait();
  void stop();

  const std::vector<link_emulation> all_;
  const std::string name_;
  const clock& time_;

  mutable std::mutex mutex_; ///< For what follows. Never held while calling.
  std::condition_variable changed_;
  std::map<node_id, peer_state> peers_; ///< While they are connected.
  size_t max_unsent_ = size_t{256} << 20;
  /// When whoever waits wakes up by itself; the minimum while nobody does.
  clock::instant alarm_ = clock::instant::min();
  bool is_stopping_ = false;
};

/// The decorator. Frames to the own node pass.
class emulated_transport final : public transport_decorator {
public:
  /// `inner` tells its owner through what `links` made of the handler.
  emulated_transport(std::unique_ptr<transport> inner,
                     std::shared_ptr<link_emulator> links);

  /// What is held goes out at once, before `inner` ends.
  ~emulated_transport() override;

  /// Frames go out by themselves from now on, from a thread of its own. Once.
  void start();

  /// Lets go what is due. For those who have not called start().
  void release();

  void send(node_id to, frame_header header, body payload) override;
  void set_max_unsent(size_t bytes) override;

private:
  const std::shared_ptr<link_emulator> links_; ///< Outlives what it listens to.
  std::thread thread_; ///< Last: it uses all of the above.
};

} // namespace troupe
