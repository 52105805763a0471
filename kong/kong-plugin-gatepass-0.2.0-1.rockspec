-- `luarocks make` in the archive puts the plugin and its library where Kong looks for them.
rockspec_format = "3.0"
package = "kong-plugin-gatepass"
version = "0.2.0-1"
source = { url = "file://gatepass-0.2.0-kong-plugin.tar.gz" }
description = {
  summary = "Turns access tokens into a signed identity for the services behind Kong",
  license = "Apache-2.0",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.2", "lua-resty-http >= 0.17" }
build = {
  type = "builtin",
  modules = {
    ["kong.plugins.gatepass.configuration"] = "kong/plugins/gatepass/configuration.lua",
    ["kong.plugins.gatepass.exchange"] = "kong/plugins/gatepass/exchange.lua",
    ["kong.plugins.gatepass.fields"] = "kong/plugins/gatepass/fields.lua",
    ["kong.plugins.gatepass.gateway"] = "kong/plugins/gatepass/gateway.lua",
    ["kong.plugins.gatepass.handler"] = "kong/plugins/gatepass/handler.lua",
    ["kong.plugins.gatepass.headers"] = "kong/plugins/gatepass/headers.lua",
    ["kong.plugins.gatepass.library"] = "kong/plugins/gatepass/library.lua",
    ["kong.plugins.gatepass.log"] = "kong/plugins/gatepass/log.lua",
    ["kong.plugins.gatepass.openresty"] = "kong/plugins/gatepass/openresty.lua",
    ["kong.plugins.gatepass.reply"] = "kong/plugins/gatepass/reply.lua",
    ["kong.plugins.gatepass.schema"] = "kong/plugins/gatepass/schema.lua",
    ["kong.plugins.gatepass.timer"] = "kong/plugins/gatepass/timer.lua",
    ["kong.plugins.gatepass.worker"] = "kong/plugins/gatepass/worker.lua",
  },
  install = { lib = { libgatepass_kong = "libgatepass_kong.so" } },
}
