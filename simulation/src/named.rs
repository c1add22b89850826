//! Enums that are listed and named in words.

/// An enum, all of its variants, and what each is in words.
macro_rules! named {
    ($(#[$about:meta])* $kind:ident: $($name:ident = $text:literal;)+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each has its words in `name`")]
        pub enum $kind { $($name,)+ }

        impl $kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The same in words.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

pub(crate) use named;
