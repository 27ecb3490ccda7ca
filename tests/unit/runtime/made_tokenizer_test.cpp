#include "runtime/text/made_tokenizer.hpp"

#include "runtime/text/chat.hpp"
#include "tests/unit/kernels/kernel_fixture.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

tokenizer words_of(uint32_t vocab_size) {
  auto made = make_tokenizer(vocab_size, 4096);
  EXPECT_TRUE(made) << made.why().message;
  auto out = tokenizer::parse(made->tokenizer_json);
  EXPECT_TRUE(out) << out.why().message;
  return std::move(*out);
}

std::string encode_utf8(uint32_t c) {
  std::string out;
  if (c < 0x80)
    return out += static_cast<char>(c);
  auto num_more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  constexpr uint8_t heads[] = {0, 0xc0, 0xe0, 0xf0};
  out += static_cast<char>(heads[num_more] | c >> (6 * num_more));
  for (int i = num_more - 1; i >= 0; --i)
    out += static_cast<char>(0x80 | (c >> (6 * i) & 0x3f));
  return out;
}

} // namespace

TEST(MadeTokenizer, HasAsManyTokensAsTheModel) {
  for (uint32_t size : {272u, 273u, 4096u, 32768u, 129280u})
    EXPECT_EQ(words_of(size).vocab_size(), size);
}

TEST(MadeTokenizer, EncodesEveryTextAndBack) {
  kernels::test::numbers chance{5};
  auto words = words_of(4096);
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (int j = 0; j < 60; ++j) {
      auto c = chance.below(4) ? chance.below(0x80) : chance.below(0x110000);
      if (c < 0xd800 || c > 0xdfff)
        text += encode_utf8(c);
    }
    EXPECT_EQ(words.decode(words.encode(text, specials::plain)), text);
  }
}

TEST(MadeTokenizer, MergesLettersOfWords) {
  auto words = words_of(32768);
  std::string text = "the quick brown fox";
  auto ids = words.encode(text, specials::plain);
  EXPECT_LT(ids.size(), text.size() * 3 / 4);
  EXPECT_EQ(words.decode(ids), text);
}

TEST(MadeTokenizer, HasTheChatFormWithoutThought) {
  auto made = make_tokenizer(512, 4096);
  ASSERT_TRUE(made);
  auto words = tokenizer::parse(made->tokenizer_json);
  ASSERT_TRUE(words) << words.why().message;
  auto form = chat_form::parse(made->tokenizer_config_json, *words);
  ASSERT_TRUE(form) << form.why().message;
  EXPECT_EQ(form->bos_id(), made_tokenizer::bos_id);
  EXPECT_EQ(form->eos_id(), made_tokenizer::eos_id);
  EXPECT_EQ(form->describe(), "deepseek-v3 (tokenizer_config.json)");
  EXPECT_FALSE(form->thinks_by_default());
  EXPECT_TRUE(words->is_special(made_tokenizer::pad_id));
  std::vector<chat_message> messages = {{chat_role::system, "Be brief.", {}},
                                        {chat_role::user, "Hi \xc3\xa9!", {}},
                                        {chat_role::assistant, "Oh.", {}}};
  auto prompt = form->render(messages, {}, *words);
  ASSERT_TRUE(prompt) << prompt.why().message;
  EXPECT_EQ(prompt->ids.front(), made_tokenizer::bos_id);
  EXPECT_EQ(prompt->text,
            "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi \xc3\xa9!"
            "<｜Assistant｜>Oh.<｜end▁of▁sentence｜><｜Assistant｜>");
}

TEST(MadeTokenizer, RefusesAVocabularyWithoutRoomForBytes) {
  auto made = make_tokenizer(271, 4096);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.why().message,
            "vocab_size is 271, but the chat form and the 256 bytes take 272 "
            "tokens");
}

} // namespace troupe
