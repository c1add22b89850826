//! Rows of the tables in D1, declared once: a row's fields are its table's columns.

/// Declares a row with the list of its columns, from which SQL and comma-separated values are made.
macro_rules! row {
    ($(#[$about:meta])* $vis:vis struct $name:ident {
        $($(#[$doc:meta])* $field_vis:vis $column:ident: $kind:ty),+ $(,)?
    }) => {
        $(#[$about])*
        $vis struct $name { $($(#[$doc])* $field_vis $column: $kind),+ }

        impl $name {
            /// The table's columns, in the order of the fields.
            pub(crate) const COLUMNS: &[&str] = &[$(stringify!($column)),+];
        }
    };
}

pub(crate) use row;
