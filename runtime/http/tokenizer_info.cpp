#include "runtime/http/tokenizer_info.hpp"

#include "runtime/json/dump_text.hpp"
#include "runtime/json/text_or_null.hpp"
#include "runtime/text/chat_template_file.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

using nlohmann::ordered_json;

result<std::string>
render_tokenizer_info(const std::filesystem::path& model_dir,
                      uint32_t max_model_len, bool is_own_form) {
  auto files = read_chat_files(model_dir);
  if (!files)
    return files.why();
  auto& [config, form] = *files;
  auto is_told = form && is_own_form;
  ordered_json out
    = {{"bos_token", text_or_null(config.bos_token)},
       {"eos_token", text_or_null(config.eos_token)},
       {"pad_token", text_or_null(config.pad_token)},
       {"chat_template", is_told ? text_or_null(form->text) : ordered_json()},
       {"model_max_length", max_model_len}};
  return dump_text(out);
}

} // namespace troupe::http
