//! The bindings of wrangler.toml by their names, and the settings, parsed once in each isolate.

use std::cell::OnceCell;
use std::rc::Rc;

use edge::config::Settings;
use worker::wasm_bindgen::JsCast as _;
use worker::wasm_bindgen::prelude::*;
use worker::{D1Database, Env, ObjectNamespace};

use crate::kv::KvNamespace;
use crate::platform::log;

#[wasm_bindgen]
extern "C" {
    /// The platform's object of all bindings, for the one that every request needs.
    type Environment;

    #[wasm_bindgen(method, getter, js_name = CRLS)]
    fn crls(this: &Environment) -> Option<KvNamespace>;
}

thread_local! {
    static SETTINGS: OnceCell<Rc<Settings>> = const { OnceCell::new() };
}

/// What wrangler.toml binds.
#[derive(Clone, Debug)]
pub(crate) struct Bindings {
    /// The platform's own.
    pub env: Env,
}

impl Bindings {
    /// The settings. The first use in an isolate logs those that are wrong.
    pub(crate) fn settings(&self) -> Rc<Settings> {
        SETTINGS.with(|settings| Rc::clone(settings.get_or_init(|| Rc::new(self.read()))))
    }

    fn read(&self) -> Settings {
        let settings =
            Settings::read(|name| self.env.var(name).ok().map(|value| value.to_string()));
        for wrong in &settings.wrong {
            log(&serde_json::json!({
                "level": "error", "what": "wrong setting", "cause": wrong.to_string(),
            }));
        }
        settings
    }

    /// The KV namespace `CRLS`.
    ///
    /// # Errors
    /// If it is not bound.
    pub(crate) fn kv(&self) -> worker::Result<KvNamespace> {
        let environment: &Environment = self.env.unchecked_ref();
        let crls = environment.crls();
        crls.ok_or_else(|| "no KV namespace is bound as CRLS".into())
    }

    /// The D1 database `DB`.
    ///
    /// # Errors
    /// If it is not bound.
    pub(crate) fn d1(&self) -> worker::Result<D1Database> {
        self.env.d1("DB")
    }

    /// The issuers' objects, `ISSUERS`.
    ///
    /// # Errors
    /// If they are not bound.
    pub(crate) fn issuers(&self) -> worker::Result<ObjectNamespace> {
        self.env.durable_object("ISSUERS")
    }

    /// The registry's object, `REGISTRY`.
    ///
    /// # Errors
    /// If it is not bound.
    pub(crate) fn registry(&self) -> worker::Result<ObjectNamespace> {
        self.env.durable_object("REGISTRY")
    }
}
