//! Wall time, shown as a rate and as the share of the machine's peak.

use std::time::{Duration, Instant};

use cpu_kernels::Context;
use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// What the machine does at most with all threads of a context.
#[derive(Clone, Copy)]
pub struct Rates {
    pub flops_per_second: f64,
    /// Read and written, of arrays that no cache holds.
    pub bytes_per_second: f64,
}

impl Rates {
    pub fn measured(context: &Context) -> Self {
        let flops_per_second = best(|| cpu_kernels::peak::multiply_adds(context, 1 << 22));
        let mut arrays = vec![(vec![1.0_f32; 1 << 24], vec![0.0_f32; 1 << 24]); context.threads()];
        let bytes_per_second = best(|| {
            std::thread::scope(|scope| {
                for (from, to) in &mut arrays {
                    scope.spawn(|| to.copy_from_slice(std::hint::black_box(from)));
                }
            });
            arrays.len() as f64 * 8.0 * f64::from(1 << 24)
        });
        Self {
            flops_per_second,
            bytes_per_second,
        }
    }
}

/// The highest rate of some repetitions of `run`, which gives how much it did.
fn best(mut run: impl FnMut() -> f64) -> f64 {
    let rates = (0..20).map(|_| {
        let start = Instant::now();
        let done = run();
        done / start.elapsed().as_secs_f64()
    });
    rates.fold(0.0, f64::max)
}

/// Wall time. Elements of a throughput count as floating point operations.
pub struct AgainstPeak(Formatter);

impl AgainstPeak {
    pub fn new(rates: Rates) -> Self {
        Self(Formatter(rates))
    }
}

impl Measurement for AgainstPeak {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        WallTime.start()
    }
    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }
    fn zero(&self) -> Duration {
        WallTime.zero()
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        &self.0
    }
}

struct Formatter(Rates);

impl ValueFormatter for Formatter {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let (amount, peak, unit) = match *throughput {
            Throughput::Elements(flops) => (flops, self.0.flops_per_second, "GFLOP/s"),
            Throughput::Bytes(bytes) => (bytes, self.0.bytes_per_second, "GB/s"),
            _ => {
                let plain = WallTime.formatter();
                return plain.scale_throughputs(typical, throughput, values);
            }
        };
        // An amount over nanoseconds is billions a second.
        let share = amount as f64 / typical * 1e9 / peak * 100.0;
        for value in values {
            *value = amount as f64 / *value;
        }
        // Criterion takes no other string. There are a few for each benchmark.
        format!("{unit}, {share:.0}% of the peak").leak()
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}
