#pragma once

/// Everything that reads bytes which nobody has checked yet, each as a function
/// of these bytes. It returns whatever the bytes are, or there is a bug: in the
/// reader if it breaks, and also where a property does not hold that its header
/// promises (CHECK). One file of its name for each; kept inputs lie in
/// corpus/NAME. tests/fuzz/README.md says how they are run.

#include <cstddef>
#include <span>
#include <string_view>

namespace troupe::fuzz {

using input = std::string_view;

void bpe(input x);                ///< A text, by the bundled tokenizer.
void chat_request(input x);       ///< POST /v1/chat/completions
void chat_template(input x);      ///< tokenizer_config.json's template
void completion_request(input x); ///< POST /v1/completions
void config_json(input x);        ///< config.json
void expert_loads(input x);       ///< --expert-load
void expert_plan(input x);        ///< troupe balance --from
void fault_plan(input x);         ///< --faults
void frames(input x);             ///< Headers of frames, and the gate.
void generation_config(input x);  ///< generation_config.json
void gbnf(input x);               ///< A grammar as llama.cpp writes them.
void handshake(input x);          ///< What a stranger says at the door.
void http_answer(input x);        ///< What a server says to our client.
void http_request(input x);       ///< Bytes of a client's connection.
void index_json(input x);         ///< model.safetensors.index.json
void json_schema(input x);        ///< response_format
void kv_header(input x);          ///< Before a cache block in a file.
void link_emulation(input x);     ///< --emulate-link
void messages_request(input x);   ///< POST /v1/messages
void regex(input x);              ///< guided_regex
void requests_file(input x);      ///< simulate --requests
void response_request(input x);   ///< POST /v1/responses
void rows(input x);               ///< Bodies of dispatch and combine.
void safetensors_header(input x); ///< The head of a file of tensors.
void state_file(input x);         ///< --state-dir
void token_routes(input x);       ///< POST /tokenize, /detokenize
void tokenizer_config(input x);   ///< tokenizer_config.json
void tokenizer_json(input x);     ///< tokenizer.json
void tool_calls(input x);         ///< What a model says.
void tool_grammar(input x);       ///< Functions of a request, as a grammar.
void topology(input x);           ///< --topology
void trace_file(input x);         ///< troupe trace
void wire_control(input x);       ///< The body of a control frame.

struct target {
  const char* name;
  void (*run)(input);
  size_t max_length; ///< Bytes that are worth trying.
};

inline constexpr target targets[] = {
  {"bpe", bpe, 512},
  {"chat_request", chat_request, 2048},
  {"chat_template", chat_template, 8192},
  {"completion_request", completion_request, 2048},
  {"config_json", config_json, 4096},
  {"expert_loads", expert_loads, 1024},
  {"expert_plan", expert_plan, 1024},
  {"fault_plan", fault_plan, 1024},
  {"frames", frames, 1024},
  {"gbnf", gbnf, 512},
  {"generation_config", generation_config, 1024},
  {"handshake", handshake, 1024},
  {"http_answer", http_answer, 1024},
  {"http_request", http_request, 1024},
  {"index_json", index_json, 1024},
  {"json_schema", json_schema, 1024},
  {"kv_header", kv_header, 512},
  {"link_emulation", link_emulation, 256},
  {"messages_request", messages_request, 2048},
  {"regex", regex, 256},
  {"requests_file", requests_file, 1024},
  {"response_request", response_request, 2048},
  {"rows", rows, 1024},
  {"safetensors_header", safetensors_header, 2048},
  {"state_file", state_file, 1024},
  {"token_routes", token_routes, 1024},
  {"tokenizer_config", tokenizer_config, 4096},
  {"tokenizer_json", tokenizer_json, 4096},
  {"tool_calls", tool_calls, 1024},
  {"tool_grammar", tool_grammar, 2048},
  {"topology", topology, 2048},
  {"trace_file", trace_file, 4096},
  {"wire_control", wire_control, 2048},
};

} // namespace troupe::fuzz
