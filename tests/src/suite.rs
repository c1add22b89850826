//! A test program: its tests share one world, which is dropped whatever they do.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Runtime;

/// What the tests of a program share. It starts when the first test runs and is dropped after the
/// last one.
pub trait World: Send + Sync + Sized + 'static {
    /// Starts the world, or panics.
    fn start() -> impl Future<Output = Self> + Send;

    /// The log to show if a test fails.
    fn log(&self) -> String;
}

/// Why a test cannot run on this machine.
#[derive(Debug)]
pub struct Skipped(pub String);

/// The result of a test: nothing, or the reason why it was skipped.
pub trait Outcome {
    /// Converts the result to the test runner's type.
    fn completion(self) -> Completion;
}

impl Outcome for () {
    fn completion(self) -> Completion {
        Completion::Completed
    }
}

impl Outcome for Result<(), Skipped> {
    fn completion(self) -> Completion {
        match self {
            Ok(()) => Completion::Completed,
            Err(Skipped(why)) => Completion::ignored_with(why),
        }
    }
}

/// Waits until `holds` returns true, and panics after ten seconds.
pub async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen within ten seconds");
}

/// Defines `main` of a test program: `suite!(World; first_test, second_test)`.
///
/// Each test is an `async fn(Arc<World>)` and may return [`Skipped`].
#[macro_export]
macro_rules! suite {
    ($world:ty; $($test:ident),+ $(,)?) => {
        fn main() -> std::process::ExitCode {
            let mut suite = $crate::suite::Suite::<$world>::default();
            $(suite.add(stringify!($test), $test);)+
            suite.run()
        }
    };
}

/// The tests of one program.
pub struct Suite<W> {
    stage: Arc<Stage<W>>,
    trials: Vec<Trial>,
}

impl<W: World> Default for Suite<W> {
    fn default() -> Self {
        let runtime = Runtime::new().expect("a tokio runtime");
        let stage = Stage {
            world: Mutex::default(),
            runtime,
        };
        Self {
            stage: Arc::new(stage),
            trials: Vec::new(),
        }
    }
}

impl<W: World> Suite<W> {
    /// Adds a test. The name is its function's.
    pub fn add<T, F>(&mut self, name: &str, test: T)
    where
        T: FnOnce(Arc<W>) -> F + Send + 'static,
        F: Future + Send,
        F::Output: Outcome,
    {
        let stage = Arc::clone(&self.stage);
        let run = move || -> Result<Completion, Failed> {
            let world = stage.world();
            Ok(stage.runtime.block_on(test(world)).completion())
        };
        self.trials.push(Trial::ignorable_test(name, run));
    }

    /// Runs the tests that the command line selects.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let conclusion = libtest_mimic::run(&Arguments::from_args(), self.trials);
        let world = self
            .stage
            .world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(world) = world.filter(|_| conclusion.has_failed()) {
            println!("{}", world.log());
        }
        conclusion.exit_code()
    }
}

struct Stage<W> {
    /// Declared first, to be dropped before the runtime that it needs.
    world: Mutex<Option<Arc<W>>>,
    runtime: Runtime,
}

impl<W: World> Stage<W> {
    /// Starts the world for the first test. If it cannot start, each test fails with the reason.
    fn world(&self) -> Arc<W> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(world.get_or_insert_with(|| Arc::new(self.runtime.block_on(W::start()))))
    }
}
