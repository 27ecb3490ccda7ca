#pragma once

/// Chat templates of each family, no longer than it takes to tell them apart.

#include <string>

namespace troupe::test {

inline const std::string system_first
  = "{% set ns = namespace(system_prompt='', is_first_sp=true, "
    "is_last_user=false) %}{%- for message in messages %}"
    "{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}"
    "{% set ns.system_prompt = ns.system_prompt + message['content'] %}"
    "{% set ns.is_first_sp = false %}{%- else %}"
    "{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + "
    "message['content'] %}{%- endif %}{%- endif %}{%- endfor %}"
    "{{ bos_token }}{{ ns.system_prompt }}";

inline const std::string drop_thought
  = "{% if '</think>' in content %}"
    "{% set content = content.split('</think>')[-1] %}{% endif %}";

/// V3 and R1: the answer opens itself. `cut` may be drop_thought.
inline std::string early_deepseek(const std::string& cut,
                                  const std::string& prompt) {
  return system_first
         + "{%- for message in messages %}{%- if message['role'] == 'user' %}"
           "{{'<｜User｜>' + message['content']}}{%- endif %}"
           "{%- if message['role'] == 'assistant' %}"
           "{% set content = message['content'] %}"
         + cut
         + "{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}"
           "{%- endif %}{%- endfor %}"
           "{% if add_generation_prompt %}{{'"
         + prompt + "'}}{% endif %}";
}

/// V3-0324 and R1-0528: the user's message opens the answer.
inline std::string later_deepseek(const std::string& cut) {
  return system_first
         + "{%- for message in messages %}{%- if message['role'] == 'user' %}"
           "{%- set ns.is_last_user = true -%}"
           "{{'<｜User｜>' + message['content'] + '<｜Assistant｜>'}}"
           "{%- endif %}{%- if message['role'] == 'assistant' %}"
           "{%- set ns.is_last_user = false -%}"
           "{% set content = message['content'] %}"
         + cut
         + "{{content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor %}"
           "{% if add_generation_prompt and not ns.is_last_user %}"
           "{{'<｜Assistant｜>'}}{% endif %}";
}

inline const std::string v2
  = "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}"
    "{{ 'User: ' + message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + message['content'] + eos_token }}"
    "{% elif message['role'] == 'system' %}"
    "{{ message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

inline const std::string v3 = early_deepseek("", "<｜Assistant｜>");
inline const std::string r1 = early_deepseek(drop_thought,
                                             "<｜Assistant｜><think>\\n");
inline const std::string v3_0324 = later_deepseek("");
inline const std::string r1_0528 = later_deepseek(drop_thought);

inline const std::string v3_1
  = "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
    + system_first
    + "{%- for message in messages %}{%- if message['role'] == 'user' %}"
      "{%- set ns.is_last_user = true -%}"
      "{{'<｜User｜>' + message['content']}}{%- endif %}"
      "{%- if message['role'] == 'assistant' and message['tool_calls'] is "
      "defined and message['tool_calls'] is not none %}"
      "{%- if ns.is_last_user %}{{'<｜Assistant｜></think>'}}{%- endif %}"
      "{%- set ns.is_last_user = false -%}{%- set ns.is_first = false %}"
      "{%- for tool in message['tool_calls'] %}{%- if not ns.is_first %}"
      "{{message['content'] + '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' "
      "+ tool['function']['name'] + '<｜tool▁sep｜>' + "
      "tool['function']['arguments'] + '<｜tool▁call▁end｜>'}}"
      "{%- set ns.is_first = true -%}{%- else %}"
      "{{'<｜tool▁call▁begin｜>'+ tool['function']['name'] + "
      "'<｜tool▁sep｜>' + tool['function']['arguments'] + "
      "'<｜tool▁call▁end｜>'}}{%- endif %}{%- endfor %}"
      "{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{%- endif %}"
      "{%- if message['role'] == 'assistant' and (message['tool_calls'] is "
      "not defined or message['tool_calls'] is none) %}"
      "{%- if ns.is_last_user %}{{'<｜Assistant｜>'}}{{'</think>'}}"
      "{%- endif %}{%- set ns.is_last_user = false -%}{%- if ns.is_tool %}"
      "{{message['content'] + '<｜end▁of▁sentence｜>'}}"
      "{%- set ns.is_tool = false -%}{%- else %}"
      "{%- set content = message['content'] -%}"
      "{%- if '</think>' in content %}"
      "{%- set content = content.split('</think>', 1)[1] -%}{%- endif %}"
      "{{content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endif %}"
      "{%- if message['role'] == 'tool' %}"
      "{%- set ns.is_last_user = false -%}{%- set ns.is_tool = true -%}"
      "{{'<｜tool▁output▁begin｜>' + message['content'] + "
      "'<｜tool▁output▁end｜>'}}{%- endif %}{%- endfor -%}"
      "{%- if add_generation_prompt and ns.is_last_user %}"
      "{{'<｜Assistant｜>'}}{%- if not thinking %}{{'</think>'}}"
      "{%- else %}{{'<think>'}}{%- endif %}{% endif %}";

inline const std::string k2
  = "{% if tools -%}{{ '<|im_system|>tool_declare<|im_middle|>' -}}"
    "{{- tools | tojson -}}{{ '<|im_end|>' -}}{%- endif -%}\n"
    "{%- for message in messages -%}\n"
    "  {%- if loop.first and messages[0]['role'] != 'system' -%}\n"
    "    {{ '<|im_system|>system<|im_middle|>You are a helpful assistant"
    "<|im_end|>' }}\n  {%- endif -%}\n"
    "  {%- if message['role'] == 'system' -%}\n"
    "    {{ '<|im_system|>system<|im_middle|>' }}\n"
    "  {%- elif message['role'] == 'user' -%}\n"
    "    {{ '<|im_user|>user<|im_middle|>' }}\n"
    "  {%- elif message['role'] == 'assistant' -%}\n"
    "    {{ '<|im_assistant|>assistant<|im_middle|>' }}\n"
    "  {%- endif -%}\n"
    "  {{- message['content'] + '<|im_end|>' -}}\n{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "  {{ '<|im_assistant|>assistant<|im_middle|>' }}\n{%- endif -%}";

} // namespace troupe::test
