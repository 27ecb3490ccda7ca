#pragma once

/// A door in a virtual world: the same meetings, by the same handshake, on
/// lines that are virtual links. Its owner's thread is the world's.

#include "runtime/meeting/door.hpp"
#include "runtime/sim/world.hpp"

#include <map>

namespace troupe {

class virtual_door;

/// What doors stand in.
class virtual_street {
public:
  /// Whoever listens at an address; null if nobody does.
  virtual virtual_door* door_at(const endpoint_address& address) = 0;

  /// Of a life; null if it is over.
  virtual virtual_door* door_of(life_id life) = 0;

  /// The node of an address; nothing if nobody ever had it.
  virtual std::optional<node_id> node_at(const endpoint_address& address) = 0;

  /// `what` happens at the other end, in the life `to` or in the world.
  virtual void say(node_id from, node_id to, life_id life, job what) = 0;

  virtual line_id next_line() = 0;

protected:
  ~virtual_street() = default;
};

class virtual_door final : public door {
public:
  /// `chance` gives nonces; it, the street and the world outlive this.
  virtual_door(world& w, virtual_street& street, life_id life,
               door_options options, handshake_options who, entropy& chance,
               door_handler handler);

  /// As the end of its process: the other sides see their lines end.
  ~virtual_door() override;

  const endpoint_address& address() const override {
    return options_.listen;
  }

  line_id dial(dial_target target) override;
  void proceed(line_id line) override;
  void welcome(line_id line) override;
  void refuse(line_id line, std::string why) override;
  void close(line_id line) override;
  door_stats stats() const override;

  /// A fault: both sides of the line see it end.
  void reset(line_id line);

private:
  enum class state : uint8_t { dialling, meeting, asked, up, parting };

  struct line {
    handshake meeting;
    state at = state::meeting;
    dial_target target = {}; ///< Where we dialled.
    life_id other = no_life; ///< Unknown while we are dialling.
    node_id node = no_node;
    event_id limit = 0;
    handshake::step next = {}; ///< Of what is met.
  };

  using bytes = std::vector<std::byte>;

  line* find(line_id id);
  line& add(line_id id, handshake::role role, virtual_duration deadline);
  hello_nonce make_nonce();
  acquaintance acquaintance_of(line_id id, const line& x) const;
  void limit(line_id id, line& x, virtual_duration time, const char* why);

  // -- what comes
  // --------------------------------------------------------------
  void reach(line_id id);
  void reach_after(line_id id, virtual_duration time);
  void on_nobody(line_id id);
  void on_call(line_id id, life_id from);
  void on_bytes(line_id id, life_id from, const bytes& message);
  void on_last_words(line_id id, const bytes& message);
  void on_closed(line_id id);
  void take(line_id id, line& x, handshake::step step);

  // -- what goes
  // ---------------------------------------------------------------
  void write(line_id id, const line& x, bytes message);
  void hang_up(line_id id, const line& x);
  void drop(line_id id, failure why, bool is_told = true);

  world& world_;
  virtual_street& street_;
  const life_id life_;
  const node_id node_;
  door_options options_;
  handshake_options who_;
  entropy& chance_;
  const door_handler handler_;
  std::map<line_id, line> lines_;
  door_stats stats_;
};

} // namespace troupe
