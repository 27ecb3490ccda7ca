/// What the tree of the vocabulary says, against each token by itself.

#include "runtime/grammar/grammar_cache.hpp"
#include "tests/unit/runtime/grammar_texts.hpp"

#include <future>

using namespace troupe;

namespace {

using enum grammar_kind;

const grammar_source sources[]
  = {{json_object, ""},
     {regex, R"([a-c]{2,5}|(the|there) cat \d+(\.\d{1,3})?)"},
     {regex, R"((ab|a|b|é|ü|日本)*x{0,300})"},
     {regex, R"([^"\\<]{0,40}"?)", true},
     {choice, R"(["yes", "no", "yes, but", "ja \u00e9"])"},
     {gbnf, "root ::= item (\",\" item)* # list\nitem ::= [a-z]+ | \"(\" root "
            "\")\"\n"},
     {json_schema, R"({"type": "object", "properties": {
      "name": {"type": "string", "minLength": 2, "maxLength": 200},
      "tags": {"type": "array", "items": {"enum": ["a", "an", "and"]}},
      "next": {"$ref": "#"}}, "required": ["name"]})"},
     {tools, R"({"fenced": true, "speak": true, "more": true, "functions": [
      {"name": "f", "schema": ""}, {"name": "go", "schema": "{}"}]})"}};

/// Each token on its own, byte by byte or as the mark that it is.
std::vector<bool> by_hand(const grammar_source& source,
                          const std::vector<int32_t>& before) {
  grammar_matcher all{compiled(source)};
  auto words = some_vocabulary();
  auto follow = [&](grammar_matcher::number at, int32_t id) {
    auto text = words->text_of(id);
    auto& marks = all.program().marks;
    auto i = std::ranges::find(marks, text);
    if (words->is_mark(id))
      return i == marks.end() ? grammar_matcher::dead
                              : all.after_mark(at, uint32_t(i - marks.begin()));
    for (auto c : text)
      at = all.after(at, static_cast<uint8_t>(c));
    return text.empty() ? grammar_matcher::dead : at;
  };
  auto at = all.begin();
  for (auto id : before)
    at = follow(at, id);
  std::vector<bool> out;
  for (int32_t id = 0; uint32_t(id) < words->num_choices(); ++id)
    out.push_back(follow(at, id) != grammar_matcher::dead);
  return out;
}

/// Jobs that wait for the test to do them.
struct some_jobs {
  std::vector<std::function<void()>> all;
  std::vector<uint64_t> whose;
  size_t most = SIZE_MAX;

  job_taker taker() {
    return [this](uint64_t of, std::function<void()> job) {
      if (all.size() >= most)
        return false;
      all.push_back(std::move(job));
      whose.push_back(of);
      return true;
    };
  }
};

} // namespace

TEST(GrammarMasks, AreWhatEachTokenSaysByItself) {
  for (auto& source : sources)
    for (uint64_t seed = 0; seed < 6; ++seed) {
      SCOPED_TRACE(source.text + ", seed " + std::to_string(seed));
      grammar_masks masks{compiled(source), some_vocabulary()};
      auto answer = random_answer(masks, seed, 3 + 9 * seed);
      auto at = masks.begin();
      for (auto id : answer)
        at = masks.after(at, id);
      auto mask = masks.mask_of(at);
      auto expected = by_hand(source, answer);
      for (size_t id = 0; id < expected.size(); ++id)
        ASSERT_EQ(is_allowed(mask, int32_t(id)), expected[id])
          << "token " << id << " \"" << some_vocabulary()->text_of(int32_t(id))
          << '"';
      EXPECT_EQ(mask.any, std::ranges::count(expected, true) > 0);
      EXPECT_EQ(masks.outlook(at) == grammar_outlook::tokens, mask.any);
    }
}

TEST(GrammarMasks, AreTheSameWhateverIsKept) {
  grammar_limits small;
  small.max_state_bytes = 1;
  small.max_mask_bytes = 1;
  for (auto& source : sources) {
    grammar_masks kept{compiled(source), some_vocabulary()};
    grammar_masks forgot{compiled(source), some_vocabulary(), small};
    auto answer = random_answer(kept, 7, 30);
    auto a = kept.begin();
    auto b = forgot.begin();
    for (auto id : answer) {
      ASSERT_EQ(*a, *b);
      ASSERT_EQ(*kept.mask_of(a).allowed, *forgot.mask_of(b).allowed);
      a = kept.after(a, id);
      b = forgot.after(b, id);
    }
    EXPECT_EQ(grammar_masks::may_end(a), grammar_masks::may_end(b));
  }
}

TEST(GrammarMasks, OfLongTextsAreMadeOnce) {
  grammar_masks masks{compiled({regex, ".{10,100000}"}), some_vocabulary()};
  auto at = masks.begin();
  auto id = some_tokenizer().encode("a", specials::plain).at(0);
  for (int i = 0; i < 1000; ++i) {
    masks.mask_of(at);
    at = masks.after(at, id);
  }
  auto counted = masks.counted();
  EXPECT_EQ(counted.asked, 1000u);
  EXPECT_LE(counted.made, 11u); // before it may end each is another one
}

TEST(GrammarMasks, OfATokenThatIsNotAllowedAllowNothing) {
  grammar_masks masks{compiled({choice, R"(["yes"])"}), some_vocabulary()};
  auto at = masks.begin();
  for (int32_t id :
       {some_tokenizer().encode("no", specials::plain).at(0), -1, 1 << 20, 0}) {
    auto behind = masks.after(at, id);
    EXPECT_FALSE(masks.mask_of(behind).any);
    EXPECT_FALSE(grammar_masks::may_end(behind));
  }
}

TEST(GrammarMasks, ThatTakeTooManyStepsAllowNothing) {
  grammar_limits small;
  small.max_mask_work = 20;
  grammar_masks masks{compiled({json_object, ""}), some_vocabulary(), small};
  auto at = masks.after(masks.begin(),
                        some_tokenizer().encode("{", specials::plain).at(0));
  EXPECT_EQ(masks.outlook(at), grammar_outlook::tokens);
  EXPECT_FALSE(masks.mask_of(at).any);
  EXPECT_EQ(masks.ask(at, {})->trouble(), mask_trouble::too_much);
}

TEST(GrammarMasks, CountTheStepsOfWaysThatLeadNowhere) {
  auto program = compiled(costly_grammar());
  auto words = some_vocabulary();
  auto open = some_tokenizer().encode("{", specials::plain).at(0);
  grammar_limits limits;
  vocabulary_walk patient{program, words, limits.max_state_bytes, 1 << 30};
  vocabulary_walk walk{program, words, limits.max_state_bytes,
                       limits.max_step_work};
  auto at = walk.begin();
  for (int i = 0; i < 300; ++i) {
    at = walk.after(at, open);
    ASSERT_FALSE(at.is_too_much);
    ASSERT_LE(walk.work(), limits.max_step_work);
  }
  EXPECT_EQ(patient.outlook(at), grammar_outlook::tokens);
  auto all = patient.work();
  EXPECT_GT(all, 123u * 300 * work_of_stack);
  EXPECT_GT(all, 2 * limits.max_step_work);
  for (int i = 0; i < 3; ++i) { // what is known by then changes nothing
    EXPECT_EQ(walk.outlook(at), grammar_outlook::too_much);
    EXPECT_LE(walk.work(), limits.max_step_work + 2 * max_byte_work);
    EXPECT_GT(walk.work(), limits.max_step_work);
    EXPECT_EQ(patient.outlook(at), grammar_outlook::tokens);
    EXPECT_EQ(patient.work(), all);
    patient.allowed(at.state);
    EXPECT_EQ(walk.allowed(at.state).is_too_much, true);
    EXPECT_LE(walk.work(),
              limits.max_step_work + words->nodes().size() + 2 * max_byte_work);
  }
}

TEST(GrammarMasks, CountNothingThatDependsOnWhatIsKept) {
  for (auto& source : sources) {
    SCOPED_TRACE(source.text);
    auto words = some_vocabulary();
    vocabulary_walk kept{compiled(source), words, 4 << 20, 1 << 22};
    grammar_masks masks{compiled(source), words};
    auto at = kept.begin();
    for (auto id : random_answer(masks, 11, 20)) {
      vocabulary_walk fresh{compiled(source), words, 1, 1 << 22};
      kept.allowed(at.state);
      fresh.allowed(at.state);
      ASSERT_EQ(kept.work(), fresh.work());
      ASSERT_LE(kept.work(), 1u << 22) << "nothing that is usual is refused";
      ASSERT_EQ(kept.outlook(at), fresh.outlook(at));
      ASSERT_EQ(kept.work(), fresh.work());
      auto next = kept.after(at, id);
      auto work = kept.work();
      ASSERT_EQ(fresh.after(at, id), next);
      ASSERT_EQ(fresh.work(), work);
      at = next;
    }
  }
}

TEST(GrammarMasks, OfDeepTextsCostNotTooMuch) {
  grammar_masks masks{compiled({json_object, ""}), some_vocabulary()};
  auto at = masks.begin();
  auto follow = [&](const std::string& text) {
    for (auto id : some_tokenizer().encode(text, specials::plain)) {
      ASSERT_TRUE(is_allowed(masks.mask_of(at), id));
      at = masks.after(at, id);
      ASSERT_EQ(masks.outlook(at), grammar_outlook::tokens);
    }
  };
  follow("{\"a\":");
  for (int i = 0; i < 100; ++i)
    follow("[");
  follow("12, true, {\"b\": \"c\"");
}

TEST(GrammarMasks, AreMadeBesideThoseWhoFollowAnswers) {
  some_jobs jobs;
  auto masks = std::make_shared<grammar_masks>(compiled({json_object, ""}),
                                               some_vocabulary(),
                                               grammar_limits{}, jobs.taker());
  grammar_masks here{compiled({json_object, ""}), some_vocabulary()};
  int calls = 0;
  int others = 0;
  auto wake = waker([&] { ++calls; });
  auto at = masks->begin();
  auto mask = masks->ask(at, wake);
  EXPECT_EQ(masks->ask(at, wake), mask);
  EXPECT_EQ(masks->ask(at, waker([&] { ++others; })), mask);
  EXPECT_FALSE(mask->is_made());
  EXPECT_EQ(jobs.all.size(), 1u) << "one is made once";
  EXPECT_EQ(masks->outlook(at), grammar_outlook::tokens);
  at = masks->after(at, some_tokenizer().encode("{", specials::plain).at(0));
  EXPECT_FALSE(grammar_masks::may_end(at));
  auto next = masks->ask(at, wake);
  EXPECT_EQ(jobs.all.size(), 2u);
  EXPECT_EQ(jobs.whose[0], jobs.whose[1]);
  jobs.all[0]();
  EXPECT_EQ(calls, 1) << "each who asked, once";
  EXPECT_EQ(others, 1);
  ASSERT_TRUE(mask->is_made());
  EXPECT_FALSE(next->is_made());
  EXPECT_EQ(*mask->allowed(), *here.mask_of(here.begin()).allowed);
  EXPECT_EQ(masks->mask_of(at).any, true) << "who cannot wait makes it";
  EXPECT_TRUE(next->is_made());
  EXPECT_EQ(calls, 2);
  jobs.all[1](); // too late
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(masks->counted().made, 2u);
}

TEST(GrammarMasks, AreNotMadeWhereNobodyHasTheTime) {
  some_jobs jobs;
  jobs.most = 0;
  auto masks = std::make_shared<grammar_masks>(compiled({json_object, ""}),
                                               some_vocabulary(),
                                               grammar_limits{}, jobs.taker());
  auto refused = masks->ask(masks->begin(), waker([] {}));
  ASSERT_TRUE(refused->is_made());
  EXPECT_EQ(refused->trouble(), mask_trouble::overloaded);
  EXPECT_FALSE(refused->any());
  jobs.most = 1;
  auto mask = masks->ask(masks->begin(), waker([] {}));
  EXPECT_FALSE(mask->is_made()) << "that is not remembered";
  jobs.all.at(0)();
  EXPECT_TRUE(mask->any());
  EXPECT_EQ(masks->counted().made, 1u);
}

TEST(GrammarMasks, AreNotMadeWhereNobodyWaitsAnyMore) {
  some_jobs jobs;
  auto masks = std::make_shared<grammar_masks>(compiled({json_object, ""}),
                                               some_vocabulary(),
                                               grammar_limits{}, jobs.taker());
  auto wake = waker([] {});
  masks->ask(masks->begin(), wake); // and let go
  auto mask = masks->ask(masks->begin(), wake);
  ASSERT_EQ(jobs.all.size(), 2u) << "another one: the first is nobody's";
  jobs.all[0]();
  EXPECT_EQ(masks->counted().made, 0u);
  EXPECT_FALSE(mask->is_made());
  jobs.all[1]();
  EXPECT_EQ(masks->counted().made, 1u);
  EXPECT_TRUE(mask->is_made());
  EXPECT_EQ(masks->ask(masks->begin(), wake), mask) << "it is kept";
  // Nor where the grammar is no more.
  auto at = masks->after(masks->begin(),
                         some_tokenizer().encode("{", specials::plain).at(0));
  auto last = masks->ask(at, wake);
  std::weak_ptr<grammar_masks> is_there = masks;
  masks = nullptr;
  EXPECT_TRUE(is_there.expired()) << "no job holds it";
  jobs.all.at(2)();
  EXPECT_FALSE(last->is_made());
}

TEST(GrammarMasks, OfLargeStatesCountWithThese) {
  grammar_limits limits;
  limits.max_mask_bytes = 32 << 10;
  grammar_masks masks{compiled({gbnf, "root ::= \"(\" root \")\" | \"x\"\n"}),
                      some_vocabulary(), limits};
  auto open = some_tokenizer().encode("(", specials::plain).at(0);
  std::vector<grammar_masks::place> places{masks.begin()};
  for (int i = 0; i < 200; ++i) {
    masks.mask_of(places.back());
    places.push_back(masks.after(places.back(), open));
  }
  places.pop_back();
  auto made = masks.counted().made;
  EXPECT_EQ(made, 200u);
  auto of_bits = (some_vocabulary()->num_choices() + 63) / 64 * 8;
  size_t kept = 0;
  size_t count = 0;
  for (auto i = places.rbegin(); i != places.rend(); ++i, ++count) {
    masks.mask_of(*i);
    if (masks.counted().made > made)
      break;
    kept += of_bits + (*i)->state.size() * sizeof(uint32_t);
  }
  EXPECT_GT(count, 5u);
  EXPECT_LE(kept, limits.max_mask_bytes);
}

TEST(GrammarMasks, BeginBehindTheThought) {
  grammar_source source{choice, R"(["yes", "no"])", true};
  grammar_masks masks{compiled(source), some_vocabulary()};
  auto& words = some_tokenizer();
  auto at = masks.begin();
  for (auto id : words.encode("Is it no? </thin", specials::plain)) {
    ASSERT_TRUE(is_allowed(masks.mask_of(at), id));
    at = masks.after(at, id);
    ASSERT_FALSE(grammar_masks::may_end(at));
  }
  for (auto id : words.encode("</think>", specials::recognised))
    at = masks.after(at, id);
  auto no = words.encode("no", specials::plain);
  for (auto id : no) {
    ASSERT_TRUE(is_allowed(masks.mask_of(at), id));
    at = masks.after(at, id);
  }
  EXPECT_TRUE(grammar_masks::may_end(at));
  EXPECT_FALSE(masks.mask_of(at).any);
}

TEST(GrammarCache, CompilesASourceOnce) {
  grammar_cache_limits limits;
  limits.max_kept = 32;
  grammar_cache cache{some_vocabulary(), limits};
  auto a = cache.find({regex, "a+"});
  auto b = cache.find({regex, "b+"});
  ASSERT_TRUE(a);
  ASSERT_TRUE(b);
  EXPECT_EQ(*cache.find({regex, "a+"}), *a);
  EXPECT_NE(*a, *b);
  EXPECT_FALSE(cache.find({regex, "("}));
  EXPECT_FALSE(cache.find({regex, "("}));
  EXPECT_EQ(cache.counted().compiled, 3u) << "what is wrong is known, too";
  for (int i = 0; i < 40; ++i)
    EXPECT_TRUE(cache.find({regex, "a{" + std::to_string(i + 1) + "}"}));
  EXPECT_NE(*cache.find({regex, "a+"}), *a) << "nothing is kept for ever";
}

TEST(GrammarCache, HoldsNoMoreBytesThanItMay) {
  grammar_cache_limits limits;
  limits.max_bytes = 100'000;
  grammar_cache cache{some_vocabulary(), limits};
  size_t most = 0;
  for (int i = 0; i < 40; ++i) {
    auto x = cache.find({regex, "[a-z]{" + std::to_string(i + 1) + "}"});
    ASSERT_TRUE(x);
    random_answer(**x, uint64_t(i), 20);
    most = std::max(most, cache.counted().bytes);
  }
  EXPECT_GT(most, 50'000u) << "the one in use is counted";
  auto last = cache.find({regex, "b"});
  EXPECT_LT(cache.counted().bytes, limits.max_bytes + (*last)->num_bytes());
}

TEST(GrammarCache, CompilesBesideWhoAsks) {
  some_jobs jobs;
  jobs.most = 2;
  grammar_cache cache{some_vocabulary()};
  cache.work_beside(jobs.taker(), {});
  int calls = 0;
  int others = 0;
  auto wake = waker([&] { ++calls; });
  auto a = cache.ask({regex, "a+"}, wake);
  EXPECT_EQ(cache.ask({regex, "a+"}, wake), a);
  EXPECT_EQ(cache.ask({regex, "a+"}, waker([&] { ++others; })), a);
  auto wrong = cache.ask({regex, "("}, wake);
  ASSERT_EQ(jobs.all.size(), 2u);
  EXPECT_FALSE(a->is_done());
  jobs.all[0]();
  EXPECT_EQ(calls, 1) << "each who asked, once";
  EXPECT_EQ(others, 1);
  ASSERT_TRUE(a->is_done());
  EXPECT_TRUE(a->what());
  jobs.all[1]();
  ASSERT_TRUE(wrong->is_done());
  EXPECT_FALSE(wrong->what());
  EXPECT_TRUE(cache.ask({regex, "a+"}, wake)->is_done());
  auto late = cache.ask({regex, "b+"}, wake);
  ASSERT_TRUE(late->is_done());
  EXPECT_EQ(late->what().why().code, errc::overloaded);
  EXPECT_TRUE(cache.find({regex, "b+"})) << "that is not remembered";
}

TEST(GrammarCache, CompilesNothingThatNobodyWaitsFor) {
  some_jobs jobs;
  grammar_cache cache{some_vocabulary()};
  cache.work_beside(jobs.taker(), {});
  auto wake = waker([] {});
  cache.ask({regex, "a+"}, wake); // and let go
  jobs.all.at(0)();
  EXPECT_EQ(cache.counted().compiled, 0u);
  auto order = cache.ask({regex, "a+"}, wake);
  ASSERT_EQ(jobs.all.size(), 2u);
  jobs.all[1]();
  EXPECT_TRUE(order->is_done());
  EXPECT_EQ(cache.counted().compiled, 1u);
}

TEST(GrammarCache, CompilesSmallOnesBesideManyLargeOnes) {
  some_jobs jobs;
  grammar_cache cache{some_vocabulary()};
  cache.work_beside(jobs.taker(), {});
  auto wake = waker([] {});
  auto ask = [&](size_t size, char last) {
    return cache.ask({regex, std::string(size, 'a') + last}, wake);
  };
  auto orders = {ask(1000, 'b'), ask(1000, 'c'), ask(50, 'd')};
  ASSERT_EQ(jobs.whose.size(), orders.size());
  EXPECT_EQ(jobs.whose[0], jobs.whose[1]);
  EXPECT_NE(jobs.whose[0], jobs.whose[2]);
}

TEST(GrammarCache, LetsGoBesideOfWhatItKeepsNoLonger) {
  some_jobs jobs;
  grammar_cache_limits limits;
  limits.max_kept = 1;
  grammar_cache cache{some_vocabulary(), limits};
  cache.work_beside(jobs.taker(), {});
  std::weak_ptr<grammar_masks> first = *cache.find({regex, "a+"});
  EXPECT_FALSE(first.expired());
  ASSERT_TRUE(cache.find({regex, "b+"}));
  EXPECT_FALSE(first.expired()) << "who asks does not free it";
  std::weak_ptr<grammar_masks> third = *cache.find({regex, "c+"});
  ASSERT_TRUE(cache.find({regex, "d+"}));
  ASSERT_EQ(jobs.all.size(), 1u) << "one turn for all of it";
  jobs.all[0]();
  EXPECT_TRUE(first.expired());
  EXPECT_TRUE(third.expired());
  ASSERT_TRUE(cache.find({regex, "e+"}));
  EXPECT_EQ(jobs.all.size(), 2u);
}

TEST(GrammarCache, TellsWhatHasComeOnceWhoeverAsks) {
  grammar_cache cache{some_vocabulary()};
  ASSERT_TRUE(cache.find({regex, "a+"}));
  ASSERT_TRUE(cache.find({regex, "b+"}));
  auto told = cache.growth();
  EXPECT_EQ(told.compiled, 2u);
  EXPECT_EQ(told.bytes, cache.counted().bytes);
  EXPECT_EQ(cache.growth().compiled, 0u);
  ASSERT_TRUE(cache.find({regex, "c+"}));
  auto more = cache.growth();
  EXPECT_EQ(more.compiled, 1u);
  EXPECT_EQ(told.bytes + more.bytes, cache.counted().bytes);
}

TEST(GrammarCache, HasThreadsOfItsOwn) {
  grammar_cache cache{some_vocabulary()};
  cache.work_beside();
  std::promise<void> compiled;
  auto order = cache.ask({json_object, ""},
                         waker([&] { compiled.set_value(); }));
  compiled.get_future().wait();
  ASSERT_TRUE(order->what());
  auto& masks = *order->what();
  std::promise<void> made;
  auto mask = masks->ask(masks->begin(), waker([&] { made.set_value(); }));
  made.get_future().wait();
  ASSERT_TRUE(mask->is_made());
  EXPECT_TRUE(mask->any());
}
