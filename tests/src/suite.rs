//! A test program: one world, many tests in it, and the end of the world whatever they do.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Runtime;

/// What a test program's tests share: started when the first test runs, dropped after the last one.
pub trait World: Send + Sync + Sized + 'static {
    /// Starts it; panics where it cannot.
    fn start() -> impl Future<Output = Self> + Send;

    /// What a person wants to read when a test failed.
    fn log(&self) -> String;
}

/// A test that cannot run here, and why.
#[derive(Debug)]
pub struct Skipped(pub String);

/// What a test returns: nothing, or that it was skipped.
pub trait Outcome {
    /// As the test runner wants it.
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

/// Waits until something holds, ten seconds at the most.
pub async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen within ten seconds");
}

/// Writes `main` for a test program: `suite!(World; first_test, second_test)`.
///
/// Each test is `async fn(Arc<World>)` and may return [`Skipped`].
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
    /// Adds a test.
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

    /// Runs those that the command line asks for.
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
    /// Dropped before the runtime that it runs on.
    world: Mutex<Option<Arc<W>>>,
    runtime: Runtime,
}

impl<W: World> Stage<W> {
    /// The world, started if it is not there. If it fails to start, each test says so.
    fn world(&self) -> Arc<W> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(world.get_or_insert_with(|| Arc::new(self.runtime.block_on(W::start()))))
    }
}
