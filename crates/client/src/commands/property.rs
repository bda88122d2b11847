//! Setting and listing properties, the same for every kind of object.

use linstor_api::prop;
use linstor_api::properties::{Properties, PropertiesModify};
use serde::de::DeserializeOwned;

use crate::action::{Action, read};
use crate::failure::Failure;
use crate::request::Request;

/// A property and its new value.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct SetProperty {
    /// The property is an auxiliary one: its key gets the prefix Aux/
    #[arg(long)]
    pub aux: bool,
    /// Key of the property
    pub key: String,
    /// Its new value; without one the property is removed
    // Options of tools begin with a dash.
    #[arg(
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub value: String,
}

/// The change that sets a property, or removes it if the value is empty.
pub fn change(key: &str, value: &str) -> PropertiesModify {
    let mut change = PropertiesModify::default();
    match value {
        "" => change.delete_props.push(key.to_owned()),
        value => {
            let value = Some(value.to_owned());
            change.override_props.insert(key.to_owned(), value);
        }
    }
    change
}

impl SetProperty {
    /// The change as the API's type.
    pub fn change(self) -> PropertiesModify {
        let key = if self.aux {
            format!("{}{}", prop::AUX, self.key)
        } else {
            self.key
        };
        change(&key, &self.value)
    }

    /// The change as the body of a request.
    pub fn modify(self, request: Request) -> Result<Action, Failure> {
        Action::modify(request.body(&self.change()))
    }
}

/// The properties of the first element of a list.
pub fn first<T: DeserializeOwned>(
    answer: &str,
    props: impl Fn(T) -> Properties,
) -> Result<Option<Properties>, Failure> {
    let list: Vec<T> = read(answer)?;
    Ok(list.into_iter().next().map(props))
}
