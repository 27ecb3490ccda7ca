#include "deploy/noting_service.hpp"

#include "tests/unit/runtime/scripted_service.hpp"

#include <gtest/gtest.h>

namespace {

using namespace troupe;

using kinds = std::vector<trace_kind>;

} // namespace

TEST(NotingService, NotesEachTokenBeforeItIsTold) {
  test::scripted_service inner;
  kinds noted;
  noting_service service{inner,
                         [&](auto& event) { noted.push_back(event.kind); }};
  size_t num_noted_when_told = 0;
  auto id = service.submit({},
                           [&](auto&) { num_noted_when_told = noted.size(); });
  ASSERT_TRUE(id);
  EXPECT_EQ(noted, kinds{trace_kind::request_accepted});
  generation_event event;
  event.tokens = {4, 5};
  inner.tell(*id, event);
  EXPECT_EQ(noted,
            (kinds{trace_kind::request_accepted, trace_kind::token_emitted,
                   trace_kind::token_emitted}));
  EXPECT_EQ(num_noted_when_told, 3u);
  service.cancel(*id);
  EXPECT_EQ(noted.back(), trace_kind::request_ended);
  EXPECT_EQ(noted.size(), 4u);
}

TEST(NotingService, NotesNoRequestThatIsRefused) {
  test::scripted_service inner;
  inner.refuse(failure{errc::overloaded, "no room"});
  kinds noted;
  noting_service service{inner,
                         [&](auto& event) { noted.push_back(event.kind); }};
  EXPECT_FALSE(service.submit({}, [](auto&) {}));
  EXPECT_TRUE(noted.empty());
}
