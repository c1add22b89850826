//! The isolate's memory of what it read, which `edge` fills and bounds.

use std::rc::Rc;

use edge::operator::OperatorMemory;
use edge::public::Memory;

use crate::js::JsBytes;

thread_local! {
    static MEMORY: Rc<Memory<JsBytes>> = Rc::default();
    static OPERATOR_MEMORY: Rc<OperatorMemory> = Rc::default();
}

/// The memory that all requests of this isolate share.
pub(crate) fn memory() -> Rc<Memory<JsBytes>> {
    MEMORY.with(Rc::clone)
}

/// The memory that the handlers of operators' requests share.
pub(crate) fn operator_memory() -> Rc<OperatorMemory> {
    OPERATOR_MEMORY.with(Rc::clone)
}
