#!/usr/bin/env python3
"""Drives a running server with the official openai client.

    openai_client_test.py --base-url http://127.0.0.1:8000/v1 --model nano

Every check is a function; the exit status is 0 only if all of them hold.
"""

import argparse
import asyncio
import json
import re
import sys
import traceback
import typing

import openai
import pydantic

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
STORY = [{"role": "user", "content": "Tell me a story about a fox."}]


def ask(client, model, messages, **more):
    return client.chat.completions.create(model=model, messages=messages,
                                          temperature=0, **more)


def reasoning_of(message):
    return getattr(message, "reasoning_content", None) or ""


def gather(stream):
    """Returns (reasoning, content, finish_reason, usage, chunks)."""
    reasoning, content, finish, usage, chunks = "", "", None, None, 0
    for chunk in stream:
        chunks += 1
        usage = chunk.usage or usage
        for choice in chunk.choices:
            assert choice.index == 0
            assert finish is None, "something came after the finish reason"
            reasoning += reasoning_of(choice.delta)
            content += choice.delta.content or ""
            finish = choice.finish_reason
    return reasoning, content, finish, usage, chunks


# -- answers ------------------------------------------------------------------


def models_are_listed(client, model):
    ids = [x.id for x in client.models.list()]
    assert ids == [model], ids
    assert client.models.retrieve(model).id == model


def a_chat_is_answered_with_its_reasoning_apart(client, model):
    x = ask(client, model, QUESTION, max_tokens=160)
    assert x.object == "chat.completion" and x.model == model
    assert x.id.startswith("chatcmpl-") and x.created > 1_600_000_000
    choice = x.choices[0]
    assert len(x.choices) == 1 and choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    assert choice.message.content.strip(), "no content"
    assert reasoning_of(choice.message).strip(), "no reasoning_content"
    assert "think>" not in choice.message.content
    assert "think>" not in reasoning_of(choice.message)
    u = x.usage
    assert u.prompt_tokens > 0 and 0 < u.completion_tokens <= 160
    assert u.total_tokens == u.prompt_tokens + u.completion_tokens
    thought = u.completion_tokens_details.reasoning_tokens
    assert 0 < thought < u.completion_tokens
    assert u.prompt_tokens_details.cached_tokens == 0


def a_stream_says_what_the_whole_answer_says(client, model):
    whole = ask(client, model, QUESTION, max_tokens=160)
    stream = ask(client, model, QUESTION, max_tokens=160, stream=True,
                 stream_options={"include_usage": True})
    reasoning, content, finish, usage, chunks = gather(stream)
    message = whole.choices[0].message
    assert reasoning == reasoning_of(message), (reasoning, message)
    assert content == message.content, (content, message)
    assert finish == whole.choices[0].finish_reason
    assert usage == whole.usage, (usage, whole.usage)
    assert chunks > 3, "the answer came in one piece"


def max_tokens_ends_an_answer(client, model):
    x = ask(client, model, STORY, max_tokens=5)
    assert x.choices[0].finish_reason == "length"
    assert x.usage.completion_tokens == 5
    x = ask(client, model, STORY, max_completion_tokens=7)
    assert x.usage.completion_tokens == 7


def a_stop_string_ends_an_answer_before_it(client, model):
    whole = ask(client, model, STORY, max_tokens=160).choices[0].message.content
    words = whole.split()
    assert len(words) >= 3, whole
    stop = " " + words[2]
    before = whole[:whole.index(stop)]
    x = ask(client, model, STORY, max_tokens=160, stop=[stop, "\x01"])
    assert x.choices[0].finish_reason == "stop"
    assert x.choices[0].message.content == before, (x, before)
    stream = ask(client, model, STORY, max_tokens=160, stop=stop, stream=True)
    assert gather(stream)[1] == before


def a_seed_makes_an_answer_again(client, model):
    def text(seed):
        x = client.chat.completions.create(
            model=model, messages=STORY, max_tokens=60, temperature=1.2,
            top_p=0.95, seed=seed).choices[0].message
        return reasoning_of(x) + x.content
    first = text(1)
    assert text(1) == first, "the same seed gave two answers"
    others = {text(seed) for seed in range(2, 8)}
    assert others != {first}, "seven seeds gave one answer"


def several_answers_are_those_of_their_seeds(client, model):
    def texts(**more):
        x = client.chat.completions.create(
            model=model, messages=STORY, max_tokens=30, temperature=1.2,
            **more)
        assert [y.index for y in x.choices] == list(range(len(x.choices)))
        return [reasoning_of(y.message) + y.message.content
                for y in x.choices], x.usage
    all, usage = texts(n=3, seed=5)
    assert len(all) == 3 and usage.completion_tokens <= 90
    for i in range(3):
        alone, one = texts(seed=5 + i)
        assert alone == [all[i]], (i, alone, all)
        assert one.prompt_tokens == usage.prompt_tokens, "counted twice"
    stream = client.chat.completions.create(
        model=model, messages=STORY, max_tokens=30, temperature=1.2, n=3,
        seed=5, stream=True)
    streamed = [""] * 3
    for chunk in stream:
        for choice in chunk.choices:
            streamed[choice.index] += (reasoning_of(choice.delta)
                                       + (choice.delta.content or ""))
    assert streamed == all, (streamed, all)


def prompts_are_completed_side_by_side(client, model):
    def texts(prompt):
        x = client.completions.create(model=model, prompt=prompt, max_tokens=8,
                                      temperature=0)
        return [y.text for y in x.choices]
    prompts = ["The capital of", "Once upon a time", "A fox"]
    assert texts(prompts) == [texts(x)[0] for x in prompts]
    assert texts([[5, 6, 7], [8, 9]]) == texts([5, 6, 7]) + texts([8, 9])


def lengths_and_ends_are_kept(client, model):
    def choice(**more):
        return client.completions.create(
            model=model, prompt="The capital of", temperature=0,
            extra_body=more).choices[0]
    x = client.completions.create(
        model=model, prompt="The capital of", temperature=0, max_tokens=200,
        extra_body={"ignore_eos": True})
    assert x.usage.completion_tokens == 200, x.usage
    x = client.completions.create(
        model=model, prompt="The capital of", temperature=0, max_tokens=150,
        extra_body={"min_tokens": 150})
    assert x.usage.completion_tokens == 150, x.usage
    whole = choice(max_tokens=20, logprobs=0)
    ids = choice(max_tokens=20, stop=[whole.logprobs.tokens[1]],
                 include_stop_str_in_output=True)
    assert ids.text == "".join(whole.logprobs.tokens[:2]), (ids, whole)
    assert ids.finish_reason == "stop"


def penalties_and_biases_change_what_is_said(client, model):
    def text(**more):
        return ask(client, model, STORY, max_tokens=60, extra_body=more
                   ).choices[0].message
    plain = text()
    assert text(repetition_penalty=1, min_p=0, top_k=0) == plain
    for more in [{"repetition_penalty": 2.0}, {"frequency_penalty": 2},
                 {"presence_penalty": 2}]:
        assert text(**more) != plain, more
        assert text(**more) == text(**more), more
    one = text(logit_bias={"300": 100})
    assert len(set(reasoning_of(one))) < 12, one


def log_probabilities_are_told(client, model):
    x = ask(client, model, STORY, max_tokens=12, logprobs=True, top_logprobs=3)
    content = x.choices[0].logprobs.content
    assert len(content) == x.usage.completion_tokens == 12
    for y in content:
        assert len(y.top_logprobs) == 3
        # Greedily the likeliest is chosen.
        assert y.logprob == y.top_logprobs[0].logprob <= 0, y
        assert y.token == y.top_logprobs[0].token
        assert bytes(y.bytes).decode("utf-8", "replace") == y.token
        values = [z.logprob for z in y.top_logprobs]
        assert values == sorted(values, reverse=True)
    stream = ask(client, model, STORY, max_tokens=12, logprobs=True,
                 top_logprobs=3, stream=True)
    streamed = [y for chunk in stream for c in chunk.choices if c.logprobs
                for y in c.logprobs.content]
    assert streamed == content, (streamed, content)


def a_loglikelihood_is_that_of_the_answer(client, model):
    """What lm-eval asks: scores of a continuation through echo."""
    context = [5, 6, 7, 300, 301]
    x = client.completions.create(model=model, prompt=context, max_tokens=6,
                                  temperature=0, logprobs=1)
    said = x.choices[0].logprobs
    again = client.completions.create(
        model=model, prompt=[context], max_tokens=1, temperature=0, logprobs=1,
        echo=True).choices[0].logprobs
    assert again.token_logprobs[0] is None and again.top_logprobs[0] is None
    assert again.token_logprobs[-1] == said.token_logprobs[0]
    many = client.completions.create(
        model=model, prompt=[context, context[:3], context], max_tokens=0,
        temperature=0, logprobs=1, echo=True)
    assert many.usage.completion_tokens == 0
    for y in many.choices:
        n = len(y.logprobs.tokens)
        assert y.logprobs.token_logprobs == again.token_logprobs[:n], y
        assert y.logprobs.top_logprobs == again.top_logprobs[:n], y
    assert len(many.choices[0].logprobs.tokens) == len(context)
    for own, top in zip(again.token_logprobs[1:], again.top_logprobs[1:]):
        assert own <= max(top.values())


def an_answer_goes_on_from_its_prefix(client, model):
    whole = ask(client, model, QUESTION, max_tokens=160,
                extra_body={"chat_template_kwargs": {"thinking": False}}
                ).choices[0].message.content
    for more in [{}, {"continue_final_message": True,
                      "add_generation_prompt": False}]:
        last = {"role": "assistant", "content": whole[:3]}
        if not more:
            last["prefix"] = True
        x = ask(client, model, QUESTION + [last], max_tokens=40,
                extra_body=more)
        short = ask(client, model, QUESTION, max_tokens=40)
        assert x.usage.prompt_tokens < short.usage.prompt_tokens + 8, x
        assert "reasoning_content" not in x.choices[0].message.model_extra, x


TOOLS = [{"type": "function",
          "function": {"name": name, "description": "Finds a city.",
                       "parameters": {"type": "object", "properties": {
                           "country": {"type": "string"}}}}}
         for name in ("capital", "largest_city")]


def a_tool_is_called_by_its_name(client, model):
    named = {"type": "function", "function": {"name": "capital"}}
    more = {"tools": TOOLS, "tool_choice": named, "max_tokens": 24}
    x = ask(client, model, QUESTION, **more).choices[0]
    assert len(x.message.tool_calls) == 1 and x.message.content is None, x
    call = x.message.tool_calls[0]
    assert call.id and call.type == "function", call
    assert call.function.name == "capital" and call.function.arguments, call
    streamed, names = "", []
    for chunk in ask(client, model, QUESTION, stream=True, **more):
        for piece in chunk.choices[0].delta.tool_calls or []:
            assert piece.index == 0
            names += [piece.function.name] if piece.function.name else []
            streamed += piece.function.arguments
    assert (names, streamed) == (["capital"], call.function.arguments)
    # The call and what came of it go back into the conversation.
    turns = QUESTION + [x.message.model_dump(exclude_none=True),
                        {"role": "tool", "tool_call_id": call.id,
                         "content": "Paris"}]
    x = ask(client, model, turns, tools=TOOLS, max_tokens=8)
    assert x.usage.completion_tokens <= 8
    plain = ask(client, model, QUESTION, max_tokens=160)
    none = ask(client, model, QUESTION, max_tokens=160, tools=TOOLS,
               tool_choice="none")
    assert none.choices[0].message == plain.choices[0].message


def a_strict_tool_is_called_by_its_schema(client, model):
    parameters = {"type": "object", "required": ["country", "when"],
                  "properties": {
                      "country": {"enum": ["France", "Peru"]},
                      "when": {"type": "integer", "minimum": 1,
                               "maximum": 2100}}}
    tools = [{"type": "function", "function": {
        "name": name, "strict": True, "parameters": parameters}}
        for name in ("capital", "largest_city")]
    named = {"type": "function", "function": {"name": "capital"}}
    for choice in (named, "required"):
        x = ask(client, model, QUESTION, tools=tools, tool_choice=choice,
                max_tokens=600, parallel_tool_calls=False).choices[0]
        assert x.finish_reason == "tool_calls", x
        call, = x.message.tool_calls
        assert call.function.name in ("capital", "largest_city"), x
        given = json.loads(call.function.arguments)
        assert given["country"] in ("France", "Peru"), given
        assert 1 <= given["when"] <= 2100, given


class Capital(pydantic.BaseModel):
    city: str = pydantic.Field(max_length=12)
    people: int = pydantic.Field(ge=1000, le=99999999)
    river: typing.Optional[typing.Literal["Seine", "Rhine"]]


def an_answer_is_what_its_schema_says(client, model):
    x = client.chat.completions.parse(
        model=model, messages=QUESTION, temperature=0, max_tokens=400,
        response_format=Capital).choices[0]
    assert x.finish_reason == "stop", x
    assert reasoning_of(x.message).strip(), "no reasoning_content"
    assert isinstance(x.message.parsed, Capital), x
    schema = {"name": "capital", "schema": Capital.model_json_schema()}
    stream = ask(client, model, QUESTION, max_tokens=400, stream=True,
                 response_format={"type": "json_schema",
                                  "json_schema": schema})
    assert gather(stream)[1] == x.message.content, x
    for seed in range(4):
        x = client.completions.create(
            model=model, prompt="{", temperature=1, seed=seed, max_tokens=300,
            extra_body={"guided_json": Capital.model_json_schema()}).choices[0]
        Capital.model_validate_json(x.text)


def an_answer_is_what_it_may_be(client, model):
    def text(**more):
        x = client.completions.create(
            model=model, prompt="The answer is", temperature=1, seed=3,
            max_tokens=40, extra_body=more).choices[0]
        assert x.finish_reason == "stop", x
        return x.text

    choices = ["Paris", "in Rome", "Zürich"]
    for seed in range(4):
        assert text(guided_choice=choices, seed=seed) in choices
    assert re.fullmatch(r"[A-F]{3}-\d{2}", text(
        structured_outputs={"regex": r"[A-F]{3}-\d{2}"}, ignore_eos=True))
    assert re.fullmatch(r"(ab){2,4}c", text(
        guided_grammar='root ::= pair{2,4} "c"\npair ::= "ab"'))


def text_is_completed(client, model):
    x = client.completions.create(model=model, prompt="The capital of",
                                  max_tokens=6, temperature=0)
    assert x.object == "text_completion"
    assert x.usage.completion_tokens <= 6
    parts = client.completions.create(model=model, prompt="The capital of",
                                      max_tokens=6, temperature=0, stream=True)
    assert "".join(y.choices[0].text for y in parts) == x.choices[0].text


def a_hundred_tasks_are_answered_at_once(client, model):
    """Each as it would be alone, streamed or whole."""
    def wanted(i):
        return {"model": model, "seed": i % 10, "temperature": 1.2,
                "max_tokens": 12, "messages": STORY}

    async def one(other, i):
        x = await other.chat.completions.create(**wanted(i), stream=i % 2 == 0)
        if i % 2:
            message = x.choices[0].message
            return reasoning_of(message) + (message.content or "")
        text = ""
        async for chunk in x:
            for choice in chunk.choices:
                text += reasoning_of(choice.delta)
                text += choice.delta.content or ""
        return text

    async def everybody():
        async with openai.AsyncOpenAI(
                base_url=client.base_url, api_key=client.api_key,
                timeout=client.timeout, max_retries=0) as other:
            return await asyncio.gather(*(one(other, i) for i in range(100)))

    alone = []
    for seed in range(10):
        x = client.chat.completions.create(**wanted(seed)).choices[0].message
        alone.append(reasoning_of(x) + (x.content or ""))
    got = asyncio.run(everybody())
    for i, text in enumerate(got):
        assert text == alone[i % 10], (i, text, alone[i % 10])


def a_client_that_leaves_does_no_harm(client, model):
    stream = ask(client, model, STORY, max_tokens=160, stream=True)
    next(iter(stream))
    stream.close()
    a_chat_is_answered_with_its_reasoning_apart(client, model)


# -- errors -------------------------------------------------------------------


def expect(kind, code, call):
    try:
        call()
    except kind as error:
        assert error.code == code, (error.code, error)
        assert error.body["message"] and "param" in error.body, error.body
        return error
    raise AssertionError(f"no {kind.__name__}")


def a_context_that_is_too_long_is_refused(client, model):
    error = expect(openai.BadRequestError, "context_length_exceeded",
                   lambda: ask(client, model, QUESTION, max_tokens=2**31 - 1))
    assert "maximum context length is" in error.body["message"], error
    long = [{"role": "user", "content": "a b c " * 200_000}]
    expect(openai.BadRequestError, "context_length_exceeded",
           lambda: ask(client, model, long))


def an_unknown_model_is_not_found(client, model):
    expect(openai.NotFoundError, "model_not_found",
           lambda: ask(client, "no-such-model", QUESTION))
    expect(openai.NotFoundError, "model_not_found",
           lambda: client.models.retrieve("no-such-model"))


def bad_parameters_are_refused_by_name(client, model):
    for name, value in [("temperature", -1), ("top_p", 2), ("seed", 1.5),
                        ("max_tokens", 0), ("n", 9), ("top_logprobs", 21),
                        ("stop", ["x"] * 17), ("presence_penalty", 3),
                        ("min_tokens", 10**6), ("guided_choice", []),
                        ("guided_regex", "(?=a)"), ("bad_words", ["a"]),
                        ("stop_token_ids", [10**6]), ("min_p", 2)]:
        given = {"temperature": 1, name: value}
        try:
            client.chat.completions.create(model=model, messages=QUESTION,
                                           extra_body=given)
        except openai.BadRequestError as error:
            assert error.param == name, (name, error)
            assert error.type == "invalid_request_error", error
        else:
            raise AssertionError(f"{name}={value} was accepted")


CHECKS = [
    models_are_listed,
    a_chat_is_answered_with_its_reasoning_apart,
    a_stream_says_what_the_whole_answer_says,
    max_tokens_ends_an_answer,
    a_stop_string_ends_an_answer_before_it,
    a_seed_makes_an_answer_again,
    several_answers_are_those_of_their_seeds,
    prompts_are_completed_side_by_side,
    lengths_and_ends_are_kept,
    penalties_and_biases_change_what_is_said,
    log_probabilities_are_told,
    a_loglikelihood_is_that_of_the_answer,
    an_answer_goes_on_from_its_prefix,
    a_tool_is_called_by_its_name,
    a_strict_tool_is_called_by_its_schema,
    an_answer_is_what_its_schema_says,
    an_answer_is_what_it_may_be,
    text_is_completed,
    a_hundred_tasks_are_answered_at_once,
    a_client_that_leaves_does_no_harm,
    a_context_that_is_too_long_is_refused,
    an_unknown_model_is_not_found,
    bad_parameters_are_refused_by_name,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base-url", required=True, help="ends in /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--api-key", default="none")
    parser.add_argument("--timeout", type=float, default=120, help="s")
    args = parser.parse_args()
    client = openai.OpenAI(base_url=args.base_url, api_key=args.api_key,
                           timeout=args.timeout, max_retries=0)
    failed = 0
    for check in CHECKS:
        try:
            check(client, args.model)
            print("ok  ", check.__name__, flush=True)
        except Exception:
            failed += 1
            print("FAIL", check.__name__, flush=True)
            traceback.print_exc()
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
