#include "tests/fuzz/target.hpp"

#include "runtime/checkpoint/config.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void config_json(input x) {
  auto config = parse_model_config("config.json", x);
  check_refusal(config);
  if (!config)
    return;
  CHECK(config->first_k_dense_replace <= config->num_hidden_layers);
  for (auto kind : {precision::fp32, precision::bf16, precision::fp8})
    if (check_activations(*config, kind))
      config->dispatch_layout(kind);
}

} // namespace troupe::fuzz
