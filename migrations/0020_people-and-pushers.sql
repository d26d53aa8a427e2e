ALTER TABLE "api_tokens" ADD COLUMN "person" text;--> statement-breakpoint
ALTER TABLE "api_tokens" ADD COLUMN "forge_login" text;--> statement-breakpoint
ALTER TABLE "webhook_deliveries" ADD COLUMN "before" text;--> statement-breakpoint
ALTER TABLE "webhook_deliveries" ADD COLUMN "pusher" text;--> statement-breakpoint
ALTER TABLE "rollout_orders" ADD COLUMN "person" text;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "pushers" jsonb;