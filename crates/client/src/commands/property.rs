//! Setting and listing properties, the same for every kind of object.

use linstor_api::prop;
use linstor_api::properties::{Properties, PropertiesModify};
use serde::de::DeserializeOwned;

use super::list_options::Pastable;
use crate::action::{Action, read};
use crate::failure::Failure;
use crate::request::{Method, Request};

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

impl SetProperty {
    /// The change as the API's type.
    pub fn change(self) -> PropertiesModify {
        let key = if self.aux {
            format!("{}{}", prop::AUX, self.key)
        } else {
            self.key
        };
        let mut change = PropertiesModify::default();
        if self.value.is_empty() {
            change.delete_props.push(key);
        } else {
            change.override_props.insert(key, Some(self.value));
        }
        change
    }

    /// The change as the body of a `PUT`.
    pub fn put(self, segments: &[&str]) -> Result<Action, Failure> {
        self.modify(Request::new(Method::Put, segments))
    }

    /// The change as the body of a request.
    pub fn modify(self, request: Request) -> Result<Action, Failure> {
        Action::modify(request.body(&self.change()))
    }
}

/// Lists the properties of one element of a list.
pub fn list<T: DeserializeOwned + 'static>(
    request: Request,
    pastable: &Pastable,
    find: impl Fn(Vec<T>) -> Result<Option<Properties>, Failure> + 'static,
) -> Result<Action, Failure> {
    Ok(Action::Properties {
        request,
        find: Box::new(move |text| find(read(text)?)),
        pastable: pastable.pastable,
    })
}
