//! The one request function
