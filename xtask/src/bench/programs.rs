//! The programs that measure, and the command by which each contender is measured.

use std::path::{Path, PathBuf};

use super::cases::{Case, Metric, Mode};
use super::command::Invocation;
use super::contenders::Contender::{self, *};

const OURS_AVX2: &[(&str, &str)] = &[("CPU_KERNELS_ISA", "avx2")];
/// oneDNN's kernels, and PyTorch's own together with those that `torch.compile` makes.
const PEERS_AVX2: &[(&str, &str)] = &[
    ("ONEDNN_MAX_CPU_ISA", "AVX2"),
    ("ATEN_CPU_CAPABILITY", "avx2"),
];

/// Peak memory and Burn's own operations, of which a step takes seconds, are measured no longer than this.
const SHORT_SECONDS: f64 = 1.0;

/// The programs that the commands start.
#[derive(Debug)]
pub struct Programs {
    /// The trainer that was built for this comparison.
    pub trainer: PathBuf,
    /// The interpreter that has the peers; none where they are left out.
    pub python: Option<PathBuf>,
    /// The folder with the six files of CIFAR-10; none where no case reads them.
    pub data: Option<PathBuf>,
    /// Where trainings leave their runs.
    pub artifacts: PathBuf,
}

impl Contender {
    /// The command that measures this contender on a case for about `seconds`, or for as long as a training takes.
    /// Its last line of output that is a JSON object holds the images a second.
    ///
    /// # Errors
    /// A message where a peer needs an interpreter, or a training needs CIFAR-10, and there is none.
    pub fn command(
        self,
        case: &Case,
        seconds: f64,
        programs: &Programs,
    ) -> Result<Invocation, String> {
        let (program, arguments) = match (self, case.mode) {
            (Ours, Mode::Tutorial) => programs.training(case, &["--config", "tutorial"])?,
            (Ours, Mode::Epoch) => {
                let recipe = ["--config", "resnet20", "--epochs", "1"];
                programs.training(case, &recipe)?
            }
            (TutorialDataLoader, _) => self.tutorial(case, "dataset", programs)?,
            (TutorialTensor, _) => self.tutorial(case, "tensor", programs)?,
            _ => self.steps(case, seconds, programs)?,
        };
        let environment = match (case.avx2, self) {
            (false, _) => &[],
            (true, Ours | OurSteps) => OURS_AVX2,
            (true, _) => PEERS_AVX2,
        };
        Ok(Invocation {
            program,
            arguments,
            environment,
        })
    }

    /// The program and the arguments that measure steps on one random batch.
    fn steps(
        self,
        case: &Case,
        seconds: f64,
        programs: &Programs,
    ) -> Result<(PathBuf, Vec<String>), String> {
        let seconds = match (self, case.metric) {
            (BurnNdarray | BurnFlex, _) | (_, Metric::PeakMemory) => seconds.min(SHORT_SECONDS),
            _ => seconds,
        };
        let (program, network, first): (&Path, &str, &[&str]) = match self {
            Ours | OurSteps => (
                &programs.trainer,
                "--network",
                &["bench", "--json", "--backend", "ndarray"],
            ),
            BurnNdarray => (
                &programs.trainer,
                "--network",
                &["bench", "--json", "--stock", "--backend", "ndarray"],
            ),
            BurnFlex => (
                &programs.trainer,
                "--network",
                &["bench", "--json", "--stock", "--backend", "flex"],
            ),
            peer => (programs.python(self)?, "--net", peer.script()),
        };
        let mut arguments: Vec<String> = first.iter().map(|part| (*part).to_owned()).collect();
        // The script for ONNX Runtime and OpenVINO knows inference only and has no option for it.
        if !matches!(self, OnnxRuntime | OpenVino) {
            arguments.extend(["--mode".to_owned(), case.mode.step().to_owned()]);
        }
        for (option, value) in [
            (network, case.network.to_owned()),
            ("--batch", case.batch.to_string()),
            ("--threads", case.threads.to_string()),
            ("--seconds", seconds.to_string()),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        Ok((program.to_owned(), arguments))
    }

    /// The tutorial by PyTorch, which loads by `loader`.
    fn tutorial(
        self,
        case: &Case,
        loader: &str,
        programs: &Programs,
    ) -> Result<(PathBuf, Vec<String>), String> {
        let mut arguments = vec!["bench/tutorial_torch.py".to_owned()];
        for (option, value) in [
            ("--loader", loader.to_owned()),
            ("--threads", case.threads.to_string()),
            ("--data", programs.data()?),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        Ok((programs.python(self)?.to_owned(), arguments))
    }

    /// A peer's script with the options that are its own; nothing for a contender that is no Python program.
    fn script(self) -> &'static [&'static str] {
        const TORCH: &str = "bench/bench_torch.py";
        const INFERENCE: &str = "bench/bench_inference.py";
        match self {
            TorchNchw => &[TORCH, "--layout", "nchw"],
            TorchChannelsLast => &[TORCH, "--layout", "nhwc"],
            TorchCompiled => &[TORCH, "--layout", "nchw", "--compile"],
            TorchCompiledChannelsLast => &[TORCH, "--layout", "nhwc", "--compile"],
            OnnxRuntime => &[INFERENCE, "--engine", "onnxruntime"],
            OpenVino => &[INFERENCE, "--engine", "openvino"],
            Ours | OurSteps | BurnNdarray | BurnFlex | TutorialDataLoader | TutorialTensor => &[],
        }
    }
}

impl Programs {
    fn python(&self, contender: Contender) -> Result<&Path, String> {
        self.python.as_deref().ok_or_else(|| {
            format!(
                "{} needs the peers' Python: leave out --no-peers",
                contender.label()
            )
        })
    }

    fn data(&self) -> Result<String, String> {
        let data = self.data.as_ref().ok_or("this needs CIFAR-10")?;
        Ok(data.display().to_string())
    }

    /// A training by this project, from a recipe. What it prints at its end counts from its first step to its last.
    fn training(&self, case: &Case, recipe: &[&str]) -> Result<(PathBuf, Vec<String>), String> {
        let mut arguments = vec!["train".to_owned()];
        arguments.extend(recipe.iter().map(|part| (*part).to_owned()));
        for (option, value) in [
            ("--network", case.network.to_owned()),
            ("--batch-size", case.batch.to_string()),
            ("--threads", case.threads.to_string()),
            ("--backend", "ndarray".to_owned()),
            ("--data-dir", self.data()?),
            ("--artifacts", self.artifacts.display().to_string()),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        arguments.extend(["--json", "--quiet"].map(str::to_owned));
        Ok((self.trainer.clone(), arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(contender: Contender, case: &str) -> String {
        let programs = Programs {
            trainer: "trainer".into(),
            python: Some("python".into()),
            data: Some("data".into()),
            artifacts: "runs".into(),
        };
        let case = Case::from_name(case).unwrap();
        contender.command(case, 5.0, &programs).unwrap().line()
    }

    #[test]
    fn each_side_of_a_case_gets_the_same_network_batch_threads_and_time() {
        assert_eq!(
            line(Ours, "train-simple_cnn-4"),
            "trainer bench --json --backend ndarray --mode train --network simple_cnn --batch 4 --threads 1 --seconds 5"
        );
        assert_eq!(
            line(TorchCompiled, "train-simple_cnn-4"),
            "python bench/bench_torch.py --layout nchw --compile --mode train --net simple_cnn --batch 4 --threads 1 --seconds 5"
        );
        assert_eq!(
            line(OpenVino, "infer-resnet20-1"),
            "python bench/bench_inference.py --engine openvino --net resnet20 --batch 1 --threads 2 --seconds 5"
        );
    }

    #[test]
    fn a_training_reads_the_same_images_on_both_sides() {
        assert_eq!(
            line(Ours, "tutorial-simple_cnn-4"),
            "trainer train --config tutorial --network simple_cnn --batch-size 4 --threads 1 --backend ndarray \
             --data-dir data --artifacts runs --json --quiet"
        );
        assert_eq!(
            line(TutorialDataLoader, "tutorial-simple_cnn-4"),
            "python bench/tutorial_torch.py --loader dataset --threads 1 --data data"
        );
        assert_eq!(
            line(TutorialTensor, "tutorial-simple_cnn-4"),
            "python bench/tutorial_torch.py --loader tensor --threads 1 --data data"
        );
    }

    #[test]
    fn an_epoch_is_held_against_the_same_steps_without_loading() {
        assert_eq!(
            line(Ours, "epoch-resnet20-128"),
            "trainer train --config resnet20 --epochs 1 --network resnet20 --batch-size 128 --threads 2 \
             --backend ndarray --data-dir data --artifacts runs --json --quiet"
        );
        assert_eq!(
            line(OurSteps, "epoch-resnet20-128"),
            "trainer bench --json --backend ndarray --mode train --network resnet20 --batch 128 --threads 2 --seconds 5"
        );
    }

    #[test]
    fn avx2_is_forced_on_both_sides() {
        assert_eq!(
            line(Ours, "train-resnet20-128-avx2"),
            "CPU_KERNELS_ISA=avx2 trainer bench --json --backend ndarray --mode train --network resnet20 --batch 128 --threads 2 --seconds 5"
        );
        assert_eq!(
            line(TorchChannelsLast, "train-resnet20-128-avx2"),
            "ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python bench/bench_torch.py --layout nhwc --mode train --net resnet20 --batch 128 --threads 2 --seconds 5"
        );
    }

    #[test]
    fn what_is_slow_or_needs_no_time_is_measured_shortly() {
        assert_eq!(
            line(BurnFlex, "train-resnet20-128"),
            "trainer bench --json --stock --backend flex --mode train --network resnet20 --batch 128 --threads 2 --seconds 1"
        );
        assert!(line(Ours, "memory-resnet20-128").ends_with("--seconds 1"));
    }

    #[test]
    fn a_peer_without_an_interpreter_is_refused() {
        let programs = Programs {
            trainer: "trainer".into(),
            python: None,
            data: None,
            artifacts: "runs".into(),
        };
        let case = Case::from_name("train-resnet20-8").unwrap();
        assert_eq!(
            TorchNchw.command(case, 5.0, &programs).unwrap_err(),
            "PyTorch needs the peers' Python: leave out --no-peers"
        );
        let epoch = Case::from_name("epoch-resnet20-128").unwrap();
        let message = Ours.command(epoch, 5.0, &programs).unwrap_err();
        assert_eq!(message, "this needs CIFAR-10");
    }
}
