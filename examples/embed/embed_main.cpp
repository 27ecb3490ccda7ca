/// embed MODEL_DIR: a company of actors inside a program of one's own. Prints
/// the ids that follow <|begin of sentence|>.

#include "actors/company.hpp"

#include <cstdio>
#include <future>

int main(int argc, char** argv) {
  if (argc != 2)
    return std::fputs("usage: embed MODEL_DIR\n", stderr), 2;
  troupe::company_options options;
  options.cluster = troupe::single_process(1, 4); // 1 rank, 4 expert workers
  options.model_dir = argv[1];
  auto company = troupe::company::start(options);
  if (!company)
    return std::puts(company.why().message.c_str()), 1;
  auto ready = (*company)->wait_until_ready(std::chrono::minutes{5});
  if (!ready)
    return std::puts(ready.why().message.c_str()), 1;

  std::promise<void> done;
  troupe::generation_request request;
  request.prompt = {0};
  request.max_tokens = 16;
  request.sampling.temperature = 0;
  auto id = (*company)->submit(request, [&](auto& event) {
    for (auto token : event.tokens)
      std::printf("%d ", token);
    if (event.finish != troupe::finish_reason::none)
      done.set_value();
  });
  if (!id)
    return std::puts(id.why().message.c_str()), 1;
  done.get_future().wait();
  std::puts("");
}
