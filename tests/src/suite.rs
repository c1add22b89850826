//! A test program: its tests share one world, which is dropped whatever they do.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// How long a test waits for something before it fails: longer than a busy machine takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `holds` returns true, and panics after a minute.
pub async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let started = Instant::now();
    while !holds().await {
        assert!(
            started.elapsed() < PATIENCE,
            "it did not happen within a minute"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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

/// As [`suite!`], with the whole suite a second time, in a world of its own, with
/// `FAST_PATH=false`.
#[macro_export]
macro_rules! serving_suite {
    ($world:ty; $($test:ident),+ $(,)?) => {
        fn main() -> std::process::ExitCode {
            let mut suite = $crate::suite::Suite::<$world>::default();
            $(suite.add(stringify!($test), $test);)+
            $(suite.add_without_fast_path(stringify!($test), $test);)+
            suite.run()
        }
    };
}

tokio::task_local! {
    /// Whether edges that a test starts have the fast path.
    static FAST_PATH: bool;
}

/// Whether an edge that is started now has the fast path.
pub(crate) fn has_fast_path() -> bool {
    FAST_PATH.try_with(|fast_path| *fast_path).unwrap_or(true)
}

/// The tests of one program.
pub struct Suite<W> {
    stage: Arc<Stage<W>>,
    stage_without_fast_path: Arc<Stage<W>>,
    trials: Vec<Trial>,
}

impl<W: World> Default for Suite<W> {
    fn default() -> Self {
        Self {
            stage: Arc::new(Stage::new(true)),
            stage_without_fast_path: Arc::new(Stage::new(false)),
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
        self.add_to(Arc::clone(&self.stage), name, test);
    }

    /// Adds a test whose edges have no fast path.
    pub fn add_without_fast_path<T, F>(&mut self, name: &str, test: T)
    where
        T: FnOnce(Arc<W>) -> F + Send + 'static,
        F: Future + Send,
        F::Output: Outcome,
    {
        let stage = Arc::clone(&self.stage_without_fast_path);
        self.add_to(stage, &format!("{name}_without_the_fast_path"), test);
    }

    fn add_to<T, F>(&mut self, stage: Arc<Stage<W>>, name: &str, test: T)
    where
        T: FnOnce(Arc<W>) -> F + Send + 'static,
        F: Future + Send,
        F::Output: Outcome,
    {
        let run = move || -> Result<Completion, Failed> {
            let world = stage.world();
            Ok(stage.block_on(test(world)).completion())
        };
        self.trials.push(Trial::ignorable_test(name, run));
    }

    /// Runs the tests that the command line selects.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let conclusion = libtest_mimic::run(&Arguments::from_args(), self.trials);
        for stage in [self.stage, self.stage_without_fast_path] {
            let world = stage.world.lock();
            let world = world.unwrap_or_else(PoisonError::into_inner).take();
            if let Some(world) = world.filter(|_| conclusion.has_failed()) {
                println!("{}", world.log());
            }
        }
        conclusion.exit_code()
    }
}

struct Stage<W> {
    /// Declared first, to be dropped before the runtime that it needs.
    world: Mutex<Option<Arc<W>>>,
    runtime: Runtime,
    fast_path: bool,
}

impl<W: World> Stage<W> {
    fn new(fast_path: bool) -> Self {
        Self {
            world: Mutex::default(),
            runtime: Runtime::new().expect("a tokio runtime"),
            fast_path,
        }
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime
            .block_on(FAST_PATH.scope(self.fast_path, future))
    }

    /// Starts the world for the first test. If it cannot start, each test fails with the reason.
    fn world(&self) -> Arc<W> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(world.get_or_insert_with(|| Arc::new(self.block_on(W::start()))))
    }
}
