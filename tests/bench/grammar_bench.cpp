/// What a grammar costs a step: the time of one mask over a large vocabulary,
/// made and found, beside the draw that it is for.
///
///   grammar_bench TOKENIZER_JSON [answers]

#include "runtime/grammar/grammar_cache.hpp"
#include "tests/bench/bench_table.hpp"
#include "tests/unit/runtime/grammar_texts.hpp"

#include <cstdlib>

namespace troupe {

namespace {

const grammar_source cases[]
  = {{grammar_kind::json_object, ""},
     {grammar_kind::json_schema, R"({"type": "object", "properties": {
     "title": {"type": "string", "maxLength": 120},
     "year": {"type": "integer", "minimum": 1900, "maximum": 2100},
     "kind": {"enum": ["film", "series", "short"]},
     "score": {"type": "number"},
     "people": {"type": "array", "maxItems": 20, "items": {
        "type": "object", "properties": {
          "name": {"type": "string"},
          "born": {"type": "string", "format": "date"},
          "role": {"anyOf": [{"type": "null"}, {"type": "string"}]}},
        "required": ["name", "role"]}},
     "tags": {"type": "array", "items": {"type": "string", "maxLength": 30}}},
     "required": ["title", "year", "kind", "people"]})"},
     {grammar_kind::regex, R"([A-Z][a-z]+( [A-Z][a-z]+){1,3}, \d{4})"},
     {grammar_kind::choice, R"(["positive", "negative", "neutral"])"},
     // Somebody who wants to see a rank stand still.
     {grammar_kind::regex, R"(((.{1,40}[ae ]){1,200}|(\w{1,90} ?){2,300})+)"},
     {grammar_kind::gbnf, "root ::= (a | b | c)+\na ::= \"(\" root \")\" | "
                          "[a-z]+ a?\nb ::= [a-m ]+ b? | \"(\" root? \")\"\n"
                          "c ::= .? [^a]{1,50} root?\n"}};

double now() {
  return kernels::seconds();
}

double at_share(std::vector<double>& of, double share) {
  std::ranges::sort(of);
  return of.empty() ? 0 : of[size_t(share * double(of.size() - 1))] * 1e6;
}

struct measured {
  std::vector<double> made;
  std::vector<double> found;
  std::vector<double> followed; ///< A token, and whether any comes after it.
};

/// One of those that are allowed.
int32_t drawn(const id_bits& bits, uint32_t num_choices, uint64_t& seed) {
  seed = seed * 6364136223846793005 + 1442695040888963407;
  auto id = (seed >> 33) % num_choices;
  while ((bits[id / 64] >> (id % 64) & 1) == 0)
    id = (id + 1) % num_choices;
  return static_cast<int32_t>(id);
}

/// Follows one answer of tokens that are drawn from what is allowed.
void follow(grammar_masks& masks, uint64_t seed, uint32_t num_choices,
            measured& to) {
  auto at = masks.begin();
  for (int i = 0; i < 256; ++i) {
    auto before = masks.counted().made;
    auto begin = now();
    auto mask = masks.mask_of(at);
    auto took = now() - begin;
    (masks.counted().made > before ? to.made : to.found).push_back(took);
    if (!mask.any)
      return;
    auto id = drawn(*mask.allowed, num_choices, seed);
    begin = now();
    at = masks.after(at, id);
    masks.outlook(at);
    to.followed.push_back(now() - begin);
  }
}

/// What masks of an answer cost by the count that limits it, without a limit.
void weigh(const std::shared_ptr<const grammar_program>& program,
           const std::shared_ptr<const vocabulary>& words) {
  vocabulary_walk walk{program, words, 4 << 20, size_t{1} << 40};
  std::vector<double> works;
  auto at = walk.begin();
  uint64_t seed = 1;
  auto begin = now();
  uint64_t sum = 0;
  for (int i = 0; i < 50; ++i) {
    auto bits = walk.allowed(at.state).bits;
    works.push_back(double(walk.work()));
    sum += walk.work();
    if (std::ranges::count(bits, 0u) == long(bits.size()))
      break;
    at = walk.after(at, drawn(bits, words->num_choices(), seed));
  }
  auto ns = (now() - begin) * 1e9 / double(sum);
  std::ranges::sort(works);
  std::printf("  work of a mask: p50 %.0f, at most %.0f, %.1f ns for each\n",
              works[works.size() / 2], works.back(), ns);
}

/// Of a rank's thread, where somebody wants to see it stand still.
void follow_costly(const std::shared_ptr<const vocabulary>& words,
                   const tokenizer& tokens) {
  auto program = compile_grammar(costly_grammar());
  if (!program)
    return;
  auto open = tokens.encode("{", specials::plain).at(0);
  grammar_limits limits;
  for (size_t most : {limits.max_step_work, size_t{1} << 40}) {
    vocabulary_walk walk{*program, words, limits.max_state_bytes, most};
    auto at = walk.begin();
    for (int i = 0; i < 300; ++i)
      at = walk.after(at, open);
    auto begin = now();
    auto refused = walk.outlook(at) == grammar_outlook::too_much;
    std::printf("a costly grammar %s for one token: %.1f ms, work %llu\n",
                refused ? "is refused" : "is followed", (now() - begin) * 1e3,
                static_cast<unsigned long long>(walk.work()));
  }
}

void print(const char* name, measured& x) {
  std::printf("  %-6s made %5zu: p50 %8.1f  p99 %8.1f us   found %5zu: p50 "
              "%6.1f  p99 %6.1f us   followed: p50 %6.1f  p99 %7.1f us\n",
              name, x.made.size(), at_share(x.made, 0.5),
              at_share(x.made, 0.99), x.found.size(), at_share(x.found, 0.5),
              at_share(x.found, 0.99), at_share(x.followed, 0.5),
              at_share(x.followed, 0.99));
}

/// Draws from one row, with a mask of a structure, of text, and without.
void time_draws(uint32_t num_choices) {
  kernels::cpu_options options;
  options.num_threads = 1;
  kernels::bench b{options};
  auto logits = b.numbers(1, num_choices);
  auto ids = b.make(kernels::dtype::i32, 1, 1);
  std::pair<const char*, uint64_t> masks[]
    = {{"free", 0}, {"few ids", 1}, {"most ids", ~uint64_t{1}}};
  for (auto& [name, word] : masks) {
    kernels::draw how{
      .num_choices = num_choices, .temperature = 0.6f, .top_p = 0.95f};
    if (word != 0) {
      id_bits bits((num_choices + 63) / 64, word == 1 ? 0 : word);
      bits[7] = word;
      how.allowed = std::make_shared<const id_bits>(std::move(bits));
    }
    std::vector<double> times;
    for (int i = 0; i < 200; ++i) {
      how.point = uint64_t(i) << 45;
      auto begin = now();
      b.work().enqueue(kernels::sample{logits, {how}, ids});
      kernels::synchronize(b.work());
      times.push_back(now() - begin);
    }
    std::printf("draw, %-8s p50 %8.1f us\n", name, at_share(times, 0.5));
  }
}

int run(const char* path, uint64_t num_answers) {
  auto tokens = tokenizer::load(path);
  if (!tokens) {
    std::fprintf(stderr, "%s\n", tokens.why().message.c_str());
    return 1;
  }
  auto begin = now();
  auto words = std::make_shared<const vocabulary>(*tokens,
                                                  tokens->vocab_size());
  std::printf("%u ids, %zu nodes, made in %.0f ms\n", words->num_choices(),
              words->nodes().size(), (now() - begin) * 1e3);
  time_draws(words->num_choices());
  follow_costly(words, *tokens);
  for (auto& source : cases) {
    begin = now();
    auto program = compile_grammar(source);
    if (!program)
      return 1;
    std::printf("%s\n  compiled in %.2f ms, %zu steps\n",
                source.text.substr(0, 40).c_str(), (now() - begin) * 1e3,
                (*program)->code.size());
    weigh(*program, words);
    grammar_masks masks{*program, words};
    measured first;
    measured all;
    follow(masks, 1, words->num_choices(), first);
    for (uint64_t i = 0; i < num_answers; ++i)
      follow(masks, i + 2, words->num_choices(), all);
    print("first", first);
    print("later", all);
  }
  return 0;
}

} // namespace

} // namespace troupe

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("grammar_bench TOKENIZER_JSON [answers]\n", stderr);
    return 2;
  }
  return troupe::run(argv[1],
                     argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 50);
}
