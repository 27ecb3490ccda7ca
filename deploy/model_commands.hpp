#pragma once

/// The subcommands of `troupe model` with a file of their own.

#include <CLI/CLI.hpp>

namespace troupe {

void add_model_make(CLI::App& model, int& status);
void add_model_export_gguf(CLI::App& model, int& status);

} // namespace troupe
