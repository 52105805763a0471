//! The module's hooks.

use std::ffi::{c_char, c_void};

use super::{Buffer, Header};

unsafe extern "C" {
    pub fn envoy_dynamic_module_on_program_init() -> *const c_char;
    pub fn envoy_dynamic_module_on_http_filter_config_new(
        config: *mut c_void,
        name: Buffer,
        text: Buffer,
    ) -> *const c_void;
    pub fn envoy_dynamic_module_on_http_filter_config_destroy(config: *const c_void);
    pub fn envoy_dynamic_module_on_http_filter_config_scheduled(
        config: *mut c_void,
        module: *const c_void,
        event: u64,
    );
    pub fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
        config: *mut c_void,
        module: *const c_void,
        callout: u64,
        result: u32,
        fields: *const Header,
        fields_length: usize,
        chunks: *const Buffer,
        chunks_length: usize,
    );
    pub fn envoy_dynamic_module_on_http_filter_per_route_config_new(
        name: Buffer,
        text: Buffer,
    ) -> *const c_void;
    pub fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(plan: *const c_void);
    pub fn envoy_dynamic_module_on_http_filter_new(
        module: *const c_void,
        filter: *mut c_void,
    ) -> *const c_void;
    pub fn envoy_dynamic_module_on_http_filter_destroy(stream: *const c_void);
    pub fn envoy_dynamic_module_on_http_filter_request_headers(
        filter: *mut c_void,
        stream: *const c_void,
        end: bool,
    ) -> u32;
    pub fn envoy_dynamic_module_on_http_filter_request_body(
        filter: *mut c_void,
        stream: *const c_void,
        end: bool,
    ) -> u32;
    pub fn envoy_dynamic_module_on_http_filter_request_trailers(
        filter: *mut c_void,
        stream: *const c_void,
    ) -> u32;
    pub fn envoy_dynamic_module_on_http_filter_scheduled(
        filter: *mut c_void,
        stream: *const c_void,
        event: u64,
    );
}
