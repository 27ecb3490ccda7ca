"""What tests/bench/peers makes of the engines' output, and what it runs: the
engines here are scripts that print what the real ones print."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import tempfile
import unittest

PATH = pathlib.Path(__file__).parent / "peers"
loader = importlib.machinery.SourceFileLoader("peers", str(PATH))
spec = importlib.util.spec_from_loader("peers", loader)
peers = importlib.util.module_from_spec(spec)
loader.exec_module(peers)


def llama_bench_row(prompt, answer, rate, **more):
    return {
        "build_commit": "34af94cd9",
        "model_filename": "small.gguf",
        "n_threads": 2,
        "n_prompt": prompt,
        "n_gen": answer,
        "avg_ns": 1,
        "stddev_ns": 0,
        "avg_ts": rate,
        "samples_ts": [rate],
    } | more


LLAMA = [
    llama_bench_row(512, 0, 604.0, n_depth=0),
    llama_bench_row(0, 48, 116.0, n_depth=0),
    llama_bench_row(0, 48, 48.0, n_depth=4096),
]
IK = [
    llama_bench_row(512, 0, 1330.0, test="pp512"),
    llama_bench_row(0, 48, 135.0, test="tg48"),
    llama_bench_row(4096, 48, 94.0, test="tg48@pp4096"),
]
BATCHED = """main: n_kv_max = 1568, n_batch = 2048

{"n_kv_max": 1568, "n_batch": 2048, "n_ubatch": 512, "flash_attn": -1, \
"pp": 1, "tg": 48, "pl": 8, "n_kv": 392, "t_pp": 0.1, "speed_pp": 80.0, \
"t_tg": 1.0, "speed_tg": 210.5, "t": 1.1, "speed": 356.0}
{"n_kv_max": 1568, "pp": 1, "tg": 48, "pl": 32, "n_kv": 1568, "t_pp": 0.1, \
"speed_pp": 80.0, "t_tg": 4.0, "speed_tg": 376.0, "t": 4.1, "speed": 382.0}

llama_perf_context_print: load time = 1.0 ms
"""


def measured(rate, share):
    return {"tokens_per_second": rate, "roofline_percent": share, "rounds": [rate]}


TROUPE = {
    "prefill": [{"prompt": 512, "actors": measured(1995.0, 61.0)}],
    "decode": [
        {"depth": 0, "batch": 1, "actors": measured(150.0, 86.0)},
        {"depth": 4096, "batch": 1, "actors": measured(94.0, 50.0)},
        {"depth": 0, "batch": 32, "actors": measured(1203.2, 40.0)},
    ],
}


class Readers(unittest.TestCase):
    def test_llama_bench_tells_depth_in_a_field(self):
        self.assertEqual(
            peers.read_llama_bench(json.dumps(LLAMA)),
            {
                ("prefill", 512): 604.0,
                ("decode", 0, 1): 116.0,
                ("decode", 4096, 1): 48.0,
            },
        )

    def test_ik_tells_depth_in_the_name_of_the_test(self):
        self.assertEqual(
            peers.read_llama_bench(json.dumps(IK)),
            {
                ("prefill", 512): 1330.0,
                ("decode", 0, 1): 135.0,
                ("decode", 4096, 1): 94.0,
            },
        )

    def test_a_mixed_test_is_not_taken_for_decoding(self):
        row = llama_bench_row(512, 48, 300.0, test="pp512+tg48")
        with self.assertRaises(peers.Trouble):
            peers.read_llama_bench(json.dumps([row]))

    def test_batched_bench_has_lines_of_json_among_others(self):
        self.assertEqual(
            peers.read_batched_bench(BATCHED, 0),
            {("decode", 0, 8): 210.5, ("decode", 0, 32): 376.0},
        )

    def test_troupe_tells_rates_and_shares_of_the_roofline(self):
        rates, shares = peers.read_troupe(json.dumps(TROUPE))
        self.assertEqual(rates["decode", 0, 32], 1203.2)
        self.assertEqual(shares["prefill", 512], 61.0)


class Runs(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.path = pathlib.Path(scratch.name)
        for name in ("model/config.json", "bf16.gguf", "q8.gguf"):
            file = self.path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text("{}")
        self.program(
            "troupe",
            'if [ "$2" = machine ]; then cat "$0.machine"; else cat "$0.model"; fi',
            model=json.dumps(TROUPE),
            machine=json.dumps({"read_bytes_per_second": 5e10, "threads": 2}),
        )
        self.program("ik/llama-bench", 'cat "$0.rows"', rows=json.dumps(IK))
        self.program(
            "llama/build/bin/llama-bench", 'cat "$0.rows"', rows=json.dumps(LLAMA)
        )
        self.program(
            "llama/build/bin/llama-batched-bench", 'cat "$0.rows"', rows=BATCHED
        )

    def program(self, name, body, **outputs):
        """A script that also writes down how it was called."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'#!/bin/sh\necho "$@" >>"$0.calls"\n{body}\n')
        file.chmod(0o755)
        for suffix, text in outputs.items():
            pathlib.Path(f"{file}.{suffix}").write_text(text)

    def calls(self, name):
        return pathlib.Path(f"{self.path / name}.calls").read_text().splitlines()

    def run_peers(self, *more):
        args = ["--troupe", f"{self.path}/troupe", "--model", f"{self.path}/model"]
        args += ["--rounds", "2", *more]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            with contextlib.redirect_stderr(io.StringIO()):
                peers.main(args)
        return out.getvalue()

    def row(self, text, title):
        return next(x for x in text.splitlines() if x.startswith(title))

    def test_the_table_has_ratios_and_bars(self):
        text = self.run_peers(
            *("--bf16", f"{self.path}/bf16.gguf", "--q8", f"{self.path}/q8.gguf"),
            *("--llama-cpp", f"{self.path}/llama", "--ik", f"{self.path}/ik"),
        )
        prefill = self.row(text, "prefill 512")
        self.assertIn("1330.0 (1.50x)", prefill)
        self.assertIn("1.2x ik BF16: met", prefill)
        self.assertIn("61.0", prefill)
        deep = self.row(text, "decode, depth 4096, batch 1")
        self.assertIn("94.0 (1.00x)", deep)
        self.assertIn("1.3x ik Q8_0: missed", deep)
        many = self.row(text, "decode, depth 0, batch 32")
        self.assertIn("376.0 (3.20x)", many)
        self.assertIn("3.0x llama.cpp BF16: met", many)
        self.assertIn("median 50.0 GB/s", text)

    def test_rounds_are_interleaved_with_a_probe_before_each_engine(self):
        self.run_peers(
            *("--bf16", f"{self.path}/bf16.gguf", "--q8", f"{self.path}/q8.gguf"),
            *("--ik", f"{self.path}/ik"),
        )
        # each round: troupe (two calls), ik BF16 and ik Q8_0
        kinds = [x.split()[1] for x in self.calls("troupe")]
        round_ = ["machine", "model", "model", "machine", "machine"]
        self.assertEqual(kinds, 2 * round_)
        calls = self.calls("ik/llama-bench")
        self.assertEqual(len(calls), 4)
        for wanted in ("-mla 3 -fa 1 -fmoe 1", "-t 2", "-gp 4096,48", "-n 48"):
            self.assertIn(wanted, calls[0])

    def test_one_peer_and_one_file_are_enough(self):
        text = self.run_peers(
            *("--q8", f"{self.path}/q8.gguf", "--llama-cpp", f"{self.path}/llama")
        )
        self.assertNotIn("ik Q8_0 ", text.splitlines()[3])
        self.assertIn("ik BF16: not measured", self.row(text, "prefill 512"))

    def test_what_is_missing_is_named(self):
        bf16 = ("--bf16", f"{self.path}/bf16.gguf")
        for args, wanted in (
            (bf16, "--llama-cpp and --ik"),
            (bf16 + ("--ik", f"{self.path}/llama/build"), None),
            (bf16 + ("--ik", f"{self.path}/model"), "there is no llama-bench"),
            (("--bf16", "/nowhere", "--ik", f"{self.path}/ik"), "/nowhere"),
            (("--ik", f"{self.path}/ik"), "--bf16 and --q8"),
        ):
            if wanted is None:
                self.run_peers(*args)
                continue
            with self.assertRaises(SystemExit) as why:
                self.run_peers(*args)
            self.assertIn(wanted, str(why.exception))

    def test_an_engine_that_fails_is_named_with_its_last_words(self):
        self.program("ik/llama-bench", "echo no such tensor >&2; exit 3")
        with self.assertRaises(SystemExit) as why:
            self.run_peers(
                *("--bf16", f"{self.path}/bf16.gguf", "--ik", f"{self.path}/ik")
            )
        self.assertIn("ended with 3: no such tensor", str(why.exception))


if __name__ == "__main__":
    unittest.main()
