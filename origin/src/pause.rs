//! Points at which a test kills the process, to show that a crash there loses nothing.

#[cfg(feature = "testing")]
use std::cell::RefCell;
#[cfg(feature = "testing")]
use std::rc::Rc;

/// What is called at each point.
#[cfg(feature = "testing")]
type Hook = Rc<dyn Fn(&'static str)>;

#[cfg(feature = "testing")]
thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Has this thread call `hook` at each point. It may unwind: what is written is then as after a
/// crash.
#[cfg(feature = "testing")]
pub fn call_at_each_point(hook: Rc<dyn Fn(&'static str)>) {
    HOOK.set(Some(hook));
}

/// In debug builds, stops here if `CRL_ORIGIN_PAUSE_AT` names this point: prints `paused` to
/// standard error and waits to be killed. Exits once standard input is closed, so that the process
/// does not outlive the test.
pub(crate) fn point(name: &'static str) {
    #[cfg(feature = "testing")]
    {
        let hook = HOOK.with_borrow(Clone::clone);
        if let Some(hook) = hook {
            hook(name);
        }
    }
    #[cfg(debug_assertions)]
    if std::env::var_os("CRL_ORIGIN_PAUSE_AT").is_some_and(|at| at == name) {
        eprintln!("paused");
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
