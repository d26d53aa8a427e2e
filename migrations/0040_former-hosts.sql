CREATE TABLE "former_hosts" (
	"former_host" text PRIMARY KEY NOT NULL,
	"host" text NOT NULL,
	"renamed_at" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "acknowledgements" DROP CONSTRAINT "acknowledgements_host_hosts_host_fk";
--> statement-breakpoint
ALTER TABLE "deploys" DROP CONSTRAINT "deploys_host_hosts_host_fk";
--> statement-breakpoint
ALTER TABLE "directives" DROP CONSTRAINT "directives_host_hosts_host_fk";
--> statement-breakpoint
ALTER TABLE "pins" DROP CONSTRAINT "pins_host_hosts_host_fk";
--> statement-breakpoint
ALTER TABLE "quarantines" DROP CONSTRAINT "quarantines_host_hosts_host_fk";
--> statement-breakpoint
ALTER TABLE "submissions" DROP CONSTRAINT "submissions_host_hosts_host_fk";
--> statement-breakpoint
ALTER TABLE "testing_branches" DROP CONSTRAINT "testing_branches_host_hosts_host_fk";
--> statement-breakpoint
ALTER TABLE "trials" DROP CONSTRAINT "trials_host_hosts_host_fk";
--> statement-breakpoint
ALTER TABLE "evaluations" ADD COLUMN "former_host" text;--> statement-breakpoint
ALTER TABLE "former_hosts" ADD CONSTRAINT "former_hosts_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
CREATE INDEX "former_hosts_host" ON "former_hosts" USING btree ("host");--> statement-breakpoint
ALTER TABLE "acknowledgements" ADD CONSTRAINT "acknowledgements_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "deploys" ADD CONSTRAINT "deploys_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "directives" ADD CONSTRAINT "directives_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE no action ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "pins" ADD CONSTRAINT "pins_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE no action ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "quarantines" ADD CONSTRAINT "quarantines_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE no action ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "submissions" ADD CONSTRAINT "submissions_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "testing_branches" ADD CONSTRAINT "testing_branches_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "trials" ADD CONSTRAINT "trials_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE cascade;